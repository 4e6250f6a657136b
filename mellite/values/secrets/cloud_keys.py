"""The forms of keys of clouds, databases and package registries."""

from __future__ import annotations

from typing import Final

from .keyshape import KeyShape

__all__ = ["CLOUD_KEYS"]

# Published lists of token formats, where a vendor's own page does not give the form. The patterns are our own.
_GITLEAKS: Final = "https://github.com/gitleaks/gitleaks/blob/master/config/gitleaks.toml"
_KINGFISHER: Final = "https://github.com/mongodb/kingfisher/tree/main/crates/kingfisher-rules/data/rules"
_UUID: Final = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"

_CLOUDS: Final[tuple[KeyShape, ...]] = (
    KeyShape(
        "AWS key id",
        "AKIA ASIA",
        rest=r"[A-Z0-9]{16}",
        source="https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html",
    ),
    KeyShape(
        "AWS secret key",
        "secret_access_key SECRET_ACCESS_KEY secretAccessKey SecretAccessKey aws_secret_key AWS_SECRET_KEY",
        rest=r"\W{1,6}(?P<secret>[A-Za-z0-9/+]{40})",
        source="https://docs.aws.amazon.com/IAM/latest/UserGuide/id_credentials_access-keys.html",
        word=False,
        opening=r"\W{0,6}",
    ),
    KeyShape("Amazon MWS token", "amzn.mws.", rest=_UUID, source=_GITLEAKS),
    KeyShape(
        "Google access token",
        "ya29.",
        rest=r"[A-Za-z0-9_-]{20,}",
        source="https://developers.google.com/identity/protocols/oauth2",
    ),
    KeyShape(
        "Google refresh token",
        "1//0",
        rest=r"[A-Za-z0-9_-]{40,}",
        source="https://developers.google.com/identity/protocols/oauth2",
    ),
    KeyShape(
        "Google client secret",
        "GOCSPX-",
        rest=r"[A-Za-z0-9_-]{20,}",
        source="https://developers.google.com/identity/protocols/oauth2",
    ),
    KeyShape(
        "Azure storage key",
        "AccountKey= SharedAccessKey=",
        rest=r"(?P<secret>[A-Za-z0-9+/]{43,}={1,2})",
        source="https://learn.microsoft.com/en-us/azure/storage/common/storage-configure-connection-string",
    ),
    KeyShape(
        "Azure SAS signature",
        "sig=",
        rest=r"(?P<secret>[A-Za-z0-9+/%]{43,}(?:=|%3[Dd]))",
        source="https://learn.microsoft.com/en-us/rest/api/storageservices/create-service-sas",
        word=False,
        needs="=",
    ),
    KeyShape(
        "Azure client secret",
        "Q~",
        rest=r"[A-Za-z0-9_~.-]{31,34}",
        source=_GITLEAKS,
        lead=r"[A-Za-z0-9_~.]{3}\d",
        lead_length=4,
        word=False,
        needs="~",
    ),
    KeyShape(
        "Azure DevOps token",
        "AZDO",
        rest=r"[A-Za-z0-9]{4}(?![A-Za-z0-9])",
        source="https://learn.microsoft.com/en-us/azure/devops/organizations/accounts/use-personal-access-tokens-to-authenticate",
        lead="[A-Za-z0-9]{76}",
        lead_length=76,
    ),
    KeyShape(
        "Azure Functions key",
        "AzFu",
        rest=r"[A-Za-z0-9_-]{8}==",
        source=f"{_KINGFISHER}/azurefunctionkey.yml",
        lead="[A-Za-z0-9_-]{44}",
        lead_length=44,
    ),
    KeyShape(
        "Azure Search key",
        "AzSe",
        rest=r"[A-Za-z0-9]{6}(?![A-Za-z0-9])",
        source=f"{_KINGFISHER}/azuresearchquery.yml",
        lead="[A-Za-z0-9]{42}",
        lead_length=42,
    ),
    KeyShape("Alibaba Cloud key id", "LTAI", rest=r"[A-Za-z0-9]{20}(?![A-Za-z0-9])", source=_GITLEAKS),
    KeyShape(
        "Tencent Cloud key id",
        "AKID",
        rest=r"[A-Za-z0-9]{32}(?![A-Za-z0-9])",
        source="https://www.tencentcloud.com/document/product/598/34228",
    ),
    KeyShape(
        "Yandex Cloud token",
        "t1.",
        rest=r"[A-Za-z0-9_-]{20,1000}+={0,2}\.[A-Za-z0-9_-]{86}={0,2}(?![A-Za-z0-9_-])",
        source=_GITLEAKS,
    ),
    KeyShape("Yandex Cloud key", "AQVN", rest=r"[A-Za-z0-9_-]{35,38}", source=_GITLEAKS),
    KeyShape(
        "DigitalOcean token",
        "dop_v1_ doo_v1_ dor_v1_",
        rest=r"[0-9a-f]{64}",
        source="https://docs.digitalocean.com/reference/api/create-personal-access-token/",
    ),
    KeyShape(
        "Heroku key", "HRKU-", rest=r"[A-Za-z0-9_-]{36,}", source="https://devcenter.heroku.com/articles/authentication"
    ),
    KeyShape("Fly.io token", "fo1_ fm1_ fm1a_ fm1r_ fm2_", rest=r"[A-Za-z0-9+/=_-]{40,}", source=_GITLEAKS),
    KeyShape("Render key", "rnd_", rest=r"[A-Za-z0-9]{28,}", source="https://render.com/docs/api"),
    KeyShape(
        "Netlify token",
        "nfp_ nfc_ nfo_ nfu_",
        rest=r"[A-Za-z0-9_]{36}",
        source="https://docs.netlify.com/api-and-cli-guides/api-guides/get-started-with-api/",
    ),
    KeyShape(
        "Vercel key", "vck_ vcp_ vci_ vca_ vcr_", rest=r"[A-Za-z0-9]{20,}", source="https://vercel.com/docs/rest-api"
    ),
    KeyShape(
        "Cloudflare token",
        "cfut_ cfat_ cfk_",
        rest=r"[A-Za-z0-9]{20,}",
        source="https://developers.cloudflare.com/fundamentals/api/get-started/create-token/",
    ),
    KeyShape(
        "Cloudflare origin key",
        "v1.0-",
        rest=r"[0-9a-f]{24}-[0-9a-f]{140,}",
        source="https://developers.cloudflare.com/fundamentals/api/get-started/ca-keys/",
    ),
    KeyShape(
        "Scaleway key",
        "SCW",
        rest=r"[A-Z0-9]{17}(?![A-Za-z0-9])",
        source="https://www.scaleway.com/en/docs/iam/concepts/",
    ),
    KeyShape(
        "Tailscale key",
        "tskey-",
        rest=r"(?:api|auth|client|scim|webhook)-[A-Za-z0-9-]{12,}",
        source="https://tailscale.com/kb/1277/key-prefixes",
    ),
    KeyShape(
        "Doppler token",
        "dp.pt. dp.st. dp.ct. dp.sa. dp.scim. dp.audit.",
        rest=r"(?:[a-z0-9_-]{2,35}\.)?[A-Za-z0-9]{40,44}",
        source="https://docs.doppler.com/reference/auth-token-formats",
    ),
    KeyShape(
        "Vault token",
        "hvs. hvb. hvr.",
        rest=r"[A-Za-z0-9_-]{20,}",
        source="https://developer.hashicorp.com/vault/docs/concepts/tokens",
    ),
    KeyShape(
        "Terraform token",
        ".atlasv1.",
        rest=r"[A-Za-z0-9_-]{60,}",
        source="https://developer.hashicorp.com/terraform/cloud-docs/users-teams-organizations/api-tokens",
        lead="[A-Za-z0-9]{14}",
        lead_length=14,
    ),
    KeyShape(
        "Pulumi token",
        "pul-",
        rest=r"[0-9a-f]{40}",
        source="https://www.pulumi.com/docs/administration/access-identity/access-tokens/",
    ),
    KeyShape(
        "1Password service account",
        "ops_eyJ",
        rest=r"[A-Za-z0-9+/=]{100,}",
        source="https://developer.1password.com/docs/service-accounts/",
    ),
    KeyShape(
        "Bitwarden access token",
        "0.",
        rest=rf"{_UUID}\.[A-Za-z0-9]{{30}}:[A-Za-z0-9+/]{{22}}==",
        source="https://bitwarden.com/help/access-tokens/",
        word=False,
        needs="==",
    ),
    KeyShape(
        "Infisical token",
        "st.",
        rest=r"[0-9a-f]{24}\.[0-9a-f]{32}\.[0-9a-f]{32}",
        source="https://infisical.com/docs/documentation/platform/token",
    ),
    KeyShape("OpenShift token", "sha256~", rest=r"[A-Za-z0-9_-]{43}", source=_GITLEAKS, word=False, needs="~"),
)

_DATABASES: Final[tuple[KeyShape, ...]] = (
    KeyShape(
        "PlanetScale token",
        "pscale_tkn_ pscale_pw_ pscale_oauth_",
        rest=r"[A-Za-z0-9_.=-]{32,}",
        source="https://planetscale.com/docs/concepts/planetscale-api-oauth-applications",
    ),
    KeyShape("Supabase token", "sbp_", rest=r"[0-9a-f]{40}", source=f"{_KINGFISHER}/supabase.yml"),
    KeyShape(
        "Supabase secret key",
        "sb_secret_",
        rest=r"[A-Za-z0-9_-]{20,}",
        source="https://supabase.com/docs/guides/api/api-keys",
    ),
    KeyShape("Neon key", "napi_", rest=r"[A-Za-z0-9]{40,}", source="https://neon.tech/docs/manage/api-keys"),
    KeyShape(
        "MongoDB Atlas secret",
        "mdb_sa_sk_",
        rest=r"[A-Za-z0-9_-]{30,}",
        source="https://www.mongodb.com/docs/atlas/api/service-accounts-overview/",
    ),
    KeyShape(
        "Databricks token",
        "dapi",
        rest=r"[0-9a-f]{32}",
        source="https://docs.databricks.com/en/dev-tools/auth/pat.html",
    ),
    KeyShape(
        "Databricks secret",
        "dose",
        rest=r"[0-9a-f]{32}",
        source="https://docs.databricks.com/en/dev-tools/auth/oauth-m2m.html",
    ),
    KeyShape("Aiven password", "AVNS_", rest=r"[A-Za-z0-9_-]{16,}", source=f"{_KINGFISHER}/aiven.yml"),
    KeyShape("ClickHouse key", "4b1d", rest=r"[A-Za-z0-9]{38}(?![A-Za-z0-9])", source=_GITLEAKS),
    KeyShape(
        "Airtable token",
        "pat",
        rest=r"[A-Za-z0-9]{14}\.[0-9a-f]{64}",
        source="https://airtable.com/developers/web/guides/personal-access-tokens",
    ),
)

_REGISTRIES: Final[tuple[KeyShape, ...]] = (
    KeyShape(
        "npm token",
        "npm_",
        rest=r"[A-Za-z0-9]{30,}",
        source="https://github.blog/changelog/2021-09-23-npm-has-a-new-access-token-format/",
    ),
    KeyShape(
        "password of an npm registry",
        ":_authToken= :_password=",
        rest=r"[\"']?(?P<secret>[A-Za-z0-9._~+/=-]{16,})",
        source="https://docs.npmjs.com/cli/configuring-npm/npmrc#auth-related-configuration",
        word=False,
        needs="=",
        anywhere=True,
    ),
    KeyShape("PyPI token", "pypi-", rest=r"[A-Za-z0-9_-]{50,}", source=_GITLEAKS),
    KeyShape("RubyGems key", "rubygems_", rest=r"[0-9a-f]{48}", source="https://guides.rubygems.org/api-key-scopes/"),
    KeyShape("crates.io token", "cio", rest=r"[A-Za-z0-9]{32}(?![A-Za-z0-9])", source=f"{_KINGFISHER}/crates.io.yml"),
    KeyShape(
        "NuGet key",
        "oy2",
        rest=r"[a-z0-9]{43}(?![A-Za-z0-9])",
        source="https://learn.microsoft.com/en-us/nuget/nuget-org/scoped-api-keys",
    ),
    KeyShape(
        "Docker token",
        "dckr_pat_ dckr_oat_",
        rest=r"[A-Za-z0-9_-]{20,}",
        source="https://docs.docker.com/security/access-tokens/",
    ),
    KeyShape(
        "Clojars token",
        "CLOJARS_",
        rest=r"[0-9a-z]{60}",
        source="https://github.com/clojars/clojars-web/wiki/Deploy-Tokens",
    ),
    KeyShape("Artifactory token", "cmVmd", rest=r"[A-Za-z0-9]{59}(?![A-Za-z0-9])", source=_GITLEAKS),
    KeyShape("Artifactory key", "AKCp", rest=r"[A-Za-z0-9]{60,}", source=f"{_KINGFISHER}/artifactory.yml"),
)

CLOUD_KEYS: Final = (*_CLOUDS, *_DATABASES, *_REGISTRIES)
"""Keys of clouds, databases and package registries."""
