"""Which names hold secrets: of headers, query parameters, JSON fields and environment variables."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, Literal, TypeAlias

from attrs import field, frozen

__all__ = [
    "FIELDS",
    "HEADERS",
    "NAMES",
    "QUERY",
    "VARIABLE_WORDS",
    "SecretName",
    "environment_secrets",
    "is_secret_header",
    "named_secrets",
    "plain_name",
    "sounds_secret",
]

Place: TypeAlias = Literal["header", "query", "field"]

_EVERYWHERE: Final[tuple[Place, ...]] = ("header", "query", "field")
_IN_TEXT: Final[tuple[Place, ...]] = ("query", "field")
_RFC_6749: Final = "https://www.rfc-editor.org/rfc/rfc6749#appendix-A"
_RFC_7591: Final = "https://www.rfc-editor.org/rfc/rfc7591#section-3.2.1"
_RFC_9110: Final = "https://www.rfc-editor.org/rfc/rfc9110#section-11.6.2"
_OWASP: Final = "https://cheatsheetseries.owasp.org/cheatsheets/Logging_Cheat_Sheet.html#data-to-exclude"
_AWS: Final = "https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html"
_AWS_CLI: Final = "https://docs.aws.amazon.com/cli/latest/userguide/cli-configure-envvars.html"
_GOOGLE: Final = "https://cloud.google.com/storage/docs/authentication/signatures"
_GOOGLE_KEY: Final = "https://cloud.google.com/iam/docs/keys-create-delete"
_AZURE: Final = "https://learn.microsoft.com/en-us/rest/api/storageservices/create-service-sas"
_AZURE_KEY: Final = "https://learn.microsoft.com/en-us/azure/storage/common/storage-configure-connection-string"


@frozen
class SecretName:
    """A name whose value is a secret, and where it is one.

    Args:
        name: as it is documented; only its letters and digits count, in small letters.
        source: where.
        places: headers, query parameters, JSON fields.
    """

    name: str
    source: str
    places: tuple[Place, ...] = field(default=_EVERYWHERE, kw_only=True)


#: Names as a whole: ``max_tokens`` is none, nor is ``x_secret``. Not in JSON: ``code`` and ``key``, which are mostly
#: something else there, and ``signature``, without which an answer's thinking cannot be sent back.
NAMES: Final[tuple[SecretName, ...]] = (
    SecretName("authorization", _RFC_9110),
    SecretName("proxy-authorization", _RFC_9110),
    SecretName("cookie", "https://www.rfc-editor.org/rfc/rfc6265#section-4"),
    SecretName("set-cookie", "https://www.rfc-editor.org/rfc/rfc6265#section-4"),
    SecretName("access_token", _RFC_6749),
    SecretName("refresh_token", _RFC_6749),
    SecretName("client_secret", _RFC_6749),
    SecretName("password", _RFC_6749),
    SecretName("code", _RFC_6749, places=("query",)),
    SecretName("client_assertion", "https://www.rfc-editor.org/rfc/rfc7521#section-4.2"),
    SecretName("id_token", "https://openid.net/specs/openid-connect-core-1_0.html#TokenResponse"),
    SecretName("id_token_hint", "https://openid.net/specs/openid-connect-rpinitiated-1_0.html"),
    SecretName("registration_access_token", _RFC_7591),
    SecretName("device_code", "https://www.rfc-editor.org/rfc/rfc8628#section-3.2"),
    SecretName("SAMLResponse", "https://docs.oasis-open.org/security/saml/v2.0/saml-bindings-2.0-os.pdf"),
    SecretName("passwd", _OWASP),
    SecretName("passphrase", _OWASP),
    SecretName("passcode", _OWASP),
    SecretName("user_password", _OWASP),
    SecretName("db_password", _OWASP),
    SecretName("database_password", _OWASP),
    SecretName("pwd", _OWASP, places=("query",)),
    SecretName("secret", _OWASP),
    SecretName("secret_key", _OWASP),
    SecretName("secret_token", _OWASP),
    SecretName("app_secret", _OWASP),
    SecretName("shared_secret", _OWASP),
    SecretName("consumer_secret", "https://www.rfc-editor.org/rfc/rfc5849#section-3.1"),
    SecretName("oauth_token", "https://www.rfc-editor.org/rfc/rfc5849#section-3.1"),
    SecretName("oauth_token_secret", "https://www.rfc-editor.org/rfc/rfc5849#section-3.1"),
    SecretName("oauth_signature", "https://www.rfc-editor.org/rfc/rfc5849#section-3.1"),
    SecretName("token", _OWASP),
    SecretName("auth_token", _OWASP),
    SecretName("bearer_token", _OWASP),
    SecretName("session_token", _OWASP),
    SecretName("csrf_token", _OWASP),
    SecretName("session_id", _OWASP, places=("query",)),
    SecretName("auth", _OWASP, places=("query",)),
    SecretName("jwt", "https://www.rfc-editor.org/rfc/rfc7523#section-2.1", places=_IN_TEXT),
    SecretName("assertion", "https://www.rfc-editor.org/rfc/rfc7521#section-4.1", places=("query",)),
    SecretName("private_key", _GOOGLE_KEY),
    SecretName("private_key_id", _GOOGLE_KEY, places=("field",)),
    SecretName("encryption_key", _OWASP),
    SecretName("signing_key", _OWASP),
    SecretName("signing_secret", "https://docs.slack.dev/authentication/verifying-requests-from-slack"),
    SecretName("webhook_secret", "https://docs.stripe.com/webhooks"),
    SecretName("api_key", "https://swagger.io/docs/specification/v3_0/authentication/api-keys/"),
    SecretName("x-api-key", "https://docs.claude.com/en/api/overview"),
    SecretName("api_token", "https://developers.cloudflare.com/fundamentals/api/get-started/create-token/"),
    SecretName("api_secret", "https://cloudinary.com/documentation/admin_api"),
    SecretName("access_key", _AWS_CLI),
    SecretName("secret_access_key", _AWS_CLI),
    SecretName("aws_secret_access_key", _AWS_CLI),
    SecretName("aws_session_token", _AWS_CLI),
    SecretName("AWSAccessKeyId", "https://docs.aws.amazon.com/AmazonS3/latest/API/RESTAuthentication.html"),
    SecretName("x-amz-credential", _AWS),
    SecretName("x-amz-security-token", _AWS),
    SecretName("x-amz-signature", _AWS),
    SecretName("key", "https://cloud.google.com/docs/authentication/api-keys-use", places=("query",)),
    SecretName("x-goog-api-key", "https://ai.google.dev/api"),
    SecretName("x-goog-credential", _GOOGLE),
    SecretName("x-goog-signature", _GOOGLE),
    SecretName("x-goog-iam-authorization-token", "https://cloud.google.com/iam/docs/reference/rest"),
    SecretName("sig", _AZURE, places=("query",)),
    SecretName("sas_token", _AZURE),
    SecretName("signature", _AWS, places=("query", "header")),
    SecretName("account_key", _AZURE_KEY),
    SecretName("SharedAccessKey", _AZURE_KEY),
    SecretName("connection_string", _AZURE_KEY),
    SecretName("subscription-key", "https://learn.microsoft.com/en-us/azure/ai-services/authentication"),
    SecretName("Ocp-Apim-Subscription-Key", "https://learn.microsoft.com/en-us/azure/ai-services/authentication"),
    SecretName("x-functions-key", "https://learn.microsoft.com/en-us/azure/azure-functions/function-keys-how-to"),
    SecretName("xi-api-key", "https://elevenlabs.io/docs/api-reference/authentication"),
    SecretName("private-token", "https://docs.gitlab.com/api/rest/authentication/"),
    SecretName("x-vault-token", "https://developer.hashicorp.com/vault/api-docs"),
    SecretName("dd-application-key", "https://docs.datadoghq.com/api/latest/authentication/"),
    SecretName("x-honeycomb-team", "https://docs.honeycomb.io/send-data/", places=("header",)),
    SecretName(
        "x-shopify-access-token", "https://shopify.dev/docs/apps/build/authentication-authorization/access-tokens"
    ),
    SecretName("x-hub-signature-256", "https://docs.github.com/en/webhooks/using-webhooks", places=("header",)),
    SecretName("hapikey", "https://developers.hubspot.com/docs/guides/apps/private-apps/overview", places=_IN_TEXT),
)

_NOT_ALPHANUMERIC: Final = re.compile(r"[^a-z0-9]")


def plain_name(name: str) -> str:
    """Return the letters and digits of a name, in small letters.

    Example:
        >>> plain_name("Set-Cookie")
        'setcookie'
    """
    return _NOT_ALPHANUMERIC.sub("", name.lower())


def _at(place: Place) -> frozenset[str]:
    return frozenset([plain_name(row.name) for row in NAMES if place in row.places])


#: The names of each place, as `plain_name` writes them.
HEADERS: Final = _at("header")
QUERY: Final = _at("query")
FIELDS: Final = _at("field")

# --- headers ----------------------------------------------------------------------------------------

# x-amz-security-token, api-key, cf-aig-authorization; not idempotency-key, x-amz-content-sha256
_SECRET_HEADER: Final = re.compile(r"(?:authorization|api-?key|subscription-key|token|secret|password|credentials?)\Z")
_SOUNDS_SECRET: Final = re.compile(r"(?i)auth|cookie|credential|key|pass|secret|session|signature|token")


def is_secret_header(name: str) -> bool:
    """Return whether the value of a header is a secret, by its name: one of the table, or one that ends as keys do.

    Example:
        >>> is_secret_header("CF-AIG-Authorization"), is_secret_header("Idempotency-Key")
        (True, False)
    """
    return plain_name(name) in HEADERS or _SECRET_HEADER.search(name.lower()) is not None


def sounds_secret(name: str) -> bool:
    """Return whether a name contains a word that names of secrets have.

    Example:
        >>> sounds_secret("x-my-auth"), sounds_secret("content-type")
        (True, False)
    """
    return _SOUNDS_SECRET.search(name) is not None


# --- environment variables --------------------------------------------------------------------------


@frozen
class VariableWord:
    """A word in the name of a variable that holds a secret.

    Args:
        word: in capitals; a regular expression.
        source: whose variables are named so.
        whole: whether it is a whole word of the name, as ``PAT`` is in ``AZURE_DEVOPS_PAT`` and not in ``PATH``.
    """

    word: str
    source: str
    whole: bool = field(default=False, kw_only=True)


VARIABLE_WORDS: Final[tuple[VariableWord, ...]] = (
    VariableWord("API", "https://platform.openai.com/docs/quickstart"),
    VariableWord("AUTH(?!OR(?!I))", "https://docs.docker.com/reference/cli/docker/login/"),  # not GIT_AUTHOR_NAME
    VariableWord("BEARER", "https://docs.aws.amazon.com/bedrock/latest/userguide/api-keys-use.html"),
    VariableWord("CREDENTIAL", "https://cloud.google.com/docs/authentication/application-default-credentials"),
    VariableWord("KEY", "https://platform.openai.com/docs/quickstart"),
    VariableWord("PASSWORD", "https://www.postgresql.org/docs/current/libpq-envars.html"),
    VariableWord("PASSWD", "https://dev.mysql.com/doc/refman/8.0/en/environment-variables.html"),
    VariableWord("PASSPHRASE", "https://www.gnupg.org/documentation/manuals/gnupg/"),
    VariableWord("SECRET", _AWS_CLI),
    VariableWord("TOKEN", "https://cli.github.com/manual/gh_help_environment"),
    VariableWord("PASS", "https://hub.docker.com/_/couchdb", whole=True),
    VariableWord("PWD", "https://dev.mysql.com/doc/refman/8.0/en/environment-variables.html", whole=True),
    VariableWord("PW", "https://docs.influxdata.com/influxdb/v1/administration/config/", whole=True),
    VariableWord("PAT", "https://learn.microsoft.com/en-us/azure/devops/cli/log-in-via-pat", whole=True),
    VariableWord("DSN", "https://docs.sentry.io/concepts/key-terms/dsn-explainer/", whole=True),
    VariableWord("SAS", _AZURE, whole=True),
    VariableWord("JWT", "https://www.rfc-editor.org/rfc/rfc7519", whole=True),
    VariableWord("COOKIE", "https://www.rfc-editor.org/rfc/rfc6265", whole=True),
    VariableWord("SIGNATURE", _AWS, whole=True),
    VariableWord("CONNSTR", "https://learn.microsoft.com/en-us/azure/app-service/reference-app-settings"),
    VariableWord("CONNECTION_STRING", "https://learn.microsoft.com/en-us/azure/azure-monitor/app/connection-strings"),
)

_SECRET_VARIABLE: Final = re.compile(
    "|".join([f"(?<![A-Z]){row.word}(?![A-Z])" if row.whole else row.word for row in VARIABLE_WORDS])
)
_SHORTEST: Final = 12
# Where something is, not what it is: a file, an address without a password in it.
_FILE: Final = re.compile(r"(?:~?/|\.{1,2}/|[A-Za-z]:\\)[^\r\n]*")
_ADDRESS: Final = re.compile(r"[a-z][a-z0-9+.-]*:[^@?\s]*")


def _is_place(value: str) -> bool:
    if _FILE.fullmatch(value):
        return True
    return _ADDRESS.fullmatch(value) is not None and "/" in value.partition(":")[2]


def named_secrets(environment: Mapping[str, str]) -> dict[str, str]:
    """Map secret values to the variable of each: those secret by name, of 12 characters or more, that are not paths.

    Example:
        >>> named_secrets({"MISTRAL_API_KEY": "0123456789abcdef", "AUTH_FILE": "/home/me/.auth", "HOME": "/home/me"})
        {'0123456789abcdef': 'MISTRAL_API_KEY'}
    """
    return {
        value: name
        for name, value in environment.items()
        if len(value) >= _SHORTEST and _SECRET_VARIABLE.search(name.upper()) and not _is_place(value)
    }


def environment_secrets(environment: Mapping[str, str]) -> tuple[str, ...]:
    """Return the values of variables that are secret by name, as ``OPENAI_API_KEY``, of 12 characters or more."""
    return tuple(named_secrets(environment))
