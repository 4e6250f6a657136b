"""The forms of keys of other services: repositories, monitoring, chats and mail, payments."""

from __future__ import annotations

from typing import Final

from .keyshape import KeyShape

__all__ = ["SERVICE_KEYS"]

# Published lists of token formats, where a vendor's own page does not give the form. The patterns are our own.
_GITLEAKS: Final = "https://github.com/gitleaks/gitleaks/blob/master/config/gitleaks.toml"
_KINGFISHER: Final = "https://github.com/mongodb/kingfisher/tree/main/crates/kingfisher-rules/data/rules"
_UUID: Final = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"

_REPOSITORIES: Final[tuple[KeyShape, ...]] = (
    KeyShape(
        "GitHub token",
        "ghp_ gho_ ghu_ ghs_ ghr_",
        rest=r"[A-Za-z0-9]{20,}",
        source="https://docs.github.com/en/authentication/keeping-your-account-and-data-secure/about-authentication-to-github",
    ),
    KeyShape(
        "GitHub token",
        "github_pat_",
        rest=r"[A-Za-z0-9_]{20,}",
        source="https://docs.github.com/en/authentication/keeping-your-account-and-data-secure/about-authentication-to-github",
    ),
    KeyShape(
        "GitHub Copilot token",
        "tid=",
        rest=r"[0-9a-f]{20,64};[^\s\"']{0,400}?exp=",
        source="https://docs.github.com/en/copilot",
        word=False,
        opening=r"[0-9a-f]{0,64}(?:;[^\s\"']{0,404})?",
        needs=";",
    ),
    KeyShape(
        "GitLab token",
        "glpat- gldt- glrt- glptt- glcbt- glimt- glagent- gloas- glft- glsoat- glffct-",
        rest=r"[A-Za-z0-9_-]{20,}",
        source="https://docs.gitlab.com/security/tokens/#token-prefixes",
    ),
    KeyShape("GitLab registration token", "GR1348941", rest=r"[A-Za-z0-9_-]{20}", source=_GITLEAKS),
    KeyShape("Atlassian token", "ATATT3x ATCTT3x", rest=r"[A-Za-z0-9_=-]{60,}", source=_GITLEAKS),
    KeyShape(
        "Bitbucket password",
        "ATBB",
        rest=r"[A-Za-z0-9]{32}(?![A-Za-z0-9])",
        source="https://support.atlassian.com/bitbucket-cloud/docs/app-passwords/",
    ),
    KeyShape("CircleCI token", "CCIPAT_ CCIPRJ_", rest=r"[A-Za-z0-9_]{40,}", source=f"{_KINGFISHER}/circleci.yml"),
    KeyShape(
        "Buildkite token", "bkua_", rest=r"[0-9a-f]{40}", source="https://buildkite.com/docs/apis/managing-api-tokens"
    ),
    KeyShape(
        "Sourcegraph or Segment token",
        "sgp_",
        rest=r"[A-Za-z0-9_]{40,}",
        source="https://sourcegraph.com/docs/cli/references/secret-formats",
    ),
    KeyShape(
        "Snyk token",
        "snyk_uat. snyk_sat.",
        rest=r"[A-Za-z0-9._-]{30,}",
        source="https://docs.snyk.io/snyk-api/authentication-for-api",
    ),
    KeyShape(
        "SonarQube token",
        "squ_ sqp_ sqa_",
        rest=r"[0-9a-f]{40}",
        source="https://docs.sonarsource.com/sonarqube-server/latest/user-guide/managing-tokens/",
    ),
    KeyShape(
        "Postman key",
        "PMAK-",
        rest=r"[0-9a-f]{24}-[0-9a-f]{34}",
        source="https://learning.postman.com/docs/developer/postman-api/authentication/",
    ),
    KeyShape("ReadMe key", "rdme_", rest=r"[a-z0-9]{60,}", source=_GITLEAKS),
    KeyShape(
        "Prefect key",
        "pnu_ pnb_",
        rest=r"[A-Za-z0-9]{36}",
        source="https://docs.prefect.io/v3/how-to-guides/cloud/manage-users/api-keys",
    ),
    KeyShape("Harness key", "pat. sat.", rest=r"[A-Za-z0-9_-]{22}\.[0-9a-f]{24}\.[A-Za-z0-9]{20}", source=_GITLEAKS),
    KeyShape("LaunchDarkly key", "api- sdk-", rest=_UUID, source="https://launchdarkly.com/docs/home/account/api"),
)

_MONITORING: Final[tuple[KeyShape, ...]] = (
    KeyShape(
        "Grafana token",
        "glsa_",
        rest=r"[A-Za-z0-9]{32}_[0-9a-fA-F]{8}",
        source="https://grafana.com/docs/grafana/latest/administration/service-accounts/",
    ),
    KeyShape(
        "Grafana Cloud token",
        "glc_",
        rest=r"[A-Za-z0-9+/=_-]{32,}",
        source="https://grafana.com/docs/grafana-cloud/security-and-account-management/authentication-and-permissions/access-policies/",
    ),
    KeyShape(
        "New Relic key",
        "NRAK- NRJS- NRII-",
        rest=r"[A-Za-z0-9_-]{19,}",
        source="https://docs.newrelic.com/docs/apis/intro-apis/new-relic-api-keys/",
    ),
    KeyShape(
        "New Relic licence key",
        "FFFFNRAL",
        rest=r"(?![A-Za-z0-9])",
        source="https://docs.newrelic.com/docs/apis/intro-apis/new-relic-api-keys/",
        lead="[0-9a-f]{32}",
        lead_length=32,
    ),
    KeyShape(
        "Sentry token",
        "sntrys_ sntryu_ sntrya_ sntryi_",
        rest=r"[A-Za-z0-9+/=_-]{40,}",
        source="https://docs.sentry.io/account/auth-tokens/",
    ),
    KeyShape(
        "Dynatrace token",
        "dt0c01. dt0s01. dt0s02. dt0s16.",
        rest=r"[A-Z0-9]{8,24}\.[A-Z0-9]{60,}",
        source="https://docs.dynatrace.com/docs/dynatrace-api/basics/dynatrace-api-authentication",
    ),
    KeyShape(
        "Honeycomb key",
        "hcaik_ hcamk_ hcbik_",
        rest=r"[A-Za-z0-9]{26,}",
        source="https://docs.honeycomb.io/configure/environments/manage-api-keys/",
    ),
    KeyShape("Axiom token", "xaat- xapt-", rest=_UUID, source="https://axiom.co/docs/reference/tokens"),
    KeyShape("PostHog key", "phx_ phs_", rest=r"[A-Za-z0-9_]{30,}", source="https://posthog.com/docs/api"),
)

_CHATS: Final[tuple[KeyShape, ...]] = (
    KeyShape(
        "Slack token",
        "xoxa- xoxb- xoxe- xoxp- xoxr- xoxs- xapp-",
        rest=r"[A-Za-z0-9-]{20,}",
        source="https://docs.slack.dev/authentication/tokens",
    ),
    KeyShape(
        "Slack webhook",
        "hooks.slack.com/",
        rest=r"(?:services|workflows|triggers)/(?P<secret>[A-Za-z0-9/_-]{20,})",
        source="https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks",
    ),
    KeyShape(
        "Discord webhook",
        "discord.com/api/webhooks/ discordapp.com/api/webhooks/",
        rest=r"(?P<secret>\d{15,22}/[A-Za-z0-9_-]{50,})",
        source="https://discord.com/developers/docs/resources/webhook",
    ),
    KeyShape(
        "Discord bot token",
        "MD MT Mj Mz ND NT Nj Nz OD OT",
        rest=r"[A-Za-z0-9]{21,26}\.[A-Za-z0-9_-]{6,7}\.[A-Za-z0-9_-]{27,40}",
        source="https://discord.com/developers/docs/reference#authentication",
    ),
    KeyShape(
        "Teams webhook",
        ".webhook.office.com/",
        rest=r"webhookb2/(?P<secret>[A-Za-z0-9@/-]{36,})",
        source="https://learn.microsoft.com/en-us/microsoftteams/platform/webhooks-and-connectors/how-to/add-incoming-webhook",
        lead="[a-z0-9]",
        lead_length=1,
        word=False,
        anywhere=True,
    ),
    KeyShape(
        "Telegram bot token",
        ":AA",
        rest=r"[A-Za-z0-9_-]{32,}",
        source="https://core.telegram.org/bots/api#authorizing-your-bot",
        lead=r"\d{8}",
        lead_length=8,
        word=False,
        anywhere=True,
    ),
    KeyShape(
        "Zapier webhook",
        "hooks.zapier.com/hooks/catch/",
        rest=r"(?P<secret>\d{4,12}/[A-Za-z0-9]{5,})",
        source="https://help.zapier.com/hc/en-us/articles/8496288690317",
    ),
    KeyShape(
        "Twilio key", "SK", rest=r"[0-9a-f]{32}(?![A-Za-z0-9])", source="https://www.twilio.com/docs/iam/api-keys"
    ),
    KeyShape(
        "SendGrid key",
        "SG.",
        rest=r"[A-Za-z0-9_-]{16,32}\.[A-Za-z0-9_-]{16,64}",
        source="https://www.twilio.com/docs/sendgrid/ui/account-and-settings/api-keys",
    ),
    KeyShape(
        "Mailgun key",
        "key-",
        rest=r"[0-9a-f]{32}",
        source="https://documentation.mailgun.com/docs/mailgun/user-manual/api-key-mgmt/rbac-mgmt",
    ),
    KeyShape(
        "Mailchimp key",
        "-us",
        rest=r"\d{1,2}(?!\d)",
        source="https://mailchimp.com/developer/marketing/guides/quick-start/",
        lead="[0-9a-f]{32}",
        lead_length=32,
    ),
    KeyShape(
        "Brevo key",
        "xkeysib- xsmtpsib-",
        rest=r"[0-9a-f]{64}-[A-Za-z0-9]{16}",
        source="https://developers.brevo.com/docs/getting-started",
    ),
    KeyShape(
        "Resend key",
        "re_",
        rest=r"[A-Za-z0-9]{7,10}_[A-Za-z0-9]{20,}",
        source="https://resend.com/docs/dashboard/api-keys/introduction",
    ),
    KeyShape(
        "Linear key", "lin_api_ lin_oauth_", rest=r"[A-Za-z0-9]{30,}", source="https://linear.app/developers/graphql"
    ),
    KeyShape(
        "Notion token",
        "ntn_",
        rest=r"[A-Za-z0-9]{40,}",
        source="https://developers.notion.com/reference/authentication",
    ),
    KeyShape(
        "Notion token",
        "secret_",
        rest=r"[A-Za-z0-9]{43}(?![A-Za-z0-9])",
        source="https://developers.notion.com/reference/authentication",
    ),
    KeyShape(
        "Asana token",
        "2/",
        rest=r"\d{16}/\d{16}:[0-9a-f]{32}",
        source=f"{_KINGFISHER}/asana.yml",
        word=False,
        needs=":",
    ),
    KeyShape(
        "Figma token",
        "figd_ figo_ figu_",
        rest=r"[A-Za-z0-9_-]{36,}",
        source="https://www.figma.com/developers/api#access-tokens",
    ),
    KeyShape(
        "ClickUp token",
        "pk_",
        rest=r"\d{5,12}_[A-Z0-9]{32}",
        source="https://developer.clickup.com/docs/authentication",
    ),
    KeyShape(
        "HubSpot token",
        "pat-na1- pat-na2- pat-eu1- pat-ap1-",
        rest=_UUID,
        source="https://developers.hubspot.com/docs/guides/apps/private-apps/overview",
    ),
    KeyShape(
        "Contentful token",
        "CFPAT-",
        rest=r"[A-Za-z0-9_-]{20,}",
        source="https://www.contentful.com/developers/docs/references/authentication/",
    ),
    KeyShape("Typeform token", "tfp_", rest=r"[A-Za-z0-9_.=-]{40,}", source=_GITLEAKS),
    KeyShape(
        "Mapbox secret token",
        "sk.eyJ",
        rest=r"[A-Za-z0-9_-]{20,2000}+\.[A-Za-z0-9_-]{16,}",
        source="https://docs.mapbox.com/help/dive-deeper/access-tokens/",
    ),
    KeyShape(
        "Dropbox token",
        "sl.",
        rest=r"[A-Za-z0-9_-]{100,}",
        source="https://www.dropbox.com/developers/documentation/http/documentation",
    ),
    KeyShape(
        "Facebook token",
        "EAA",
        rest=r"[A-Za-z0-9]{80,}",
        source="https://developers.facebook.com/docs/facebook-login/guides/access-tokens",
    ),
    KeyShape("Frame.io token", "fio-u-", rest=r"[A-Za-z0-9_=-]{60,}", source=_GITLEAKS),
    KeyShape(
        "Adafruit key",
        "aio_",
        rest=r"[A-Za-z0-9]{28}(?![A-Za-z0-9])",
        source="https://io.adafruit.com/api/docs/#authentication",
    ),
    KeyShape("Adobe secret", "p8e-", rest=r"[A-Za-z0-9_-]{32}", source=_GITLEAKS),
)

_PAYMENTS: Final[tuple[KeyShape, ...]] = (
    KeyShape(
        "Stripe or Novita key",
        "sk_ rk_",
        rest=r"(?:[a-z]{2,12}_)?[A-Za-z0-9]{16,}",
        source="https://docs.stripe.com/keys",
    ),
    KeyShape("Stripe webhook secret", "whsec_", rest=r"[A-Za-z0-9+/=]{24,}", source="https://docs.stripe.com/webhooks"),
    KeyShape(
        "Shopify token",
        "shpat_ shpca_ shppa_ shpss_",
        rest=r"[0-9a-fA-F]{32}",
        source="https://shopify.dev/docs/apps/build/authentication-authorization/access-tokens",
    ),
    KeyShape(
        "Square token",
        "EAAA",
        rest=r"[A-Za-z0-9_-]{60}",
        source="https://developer.squareup.com/docs/build-basics/access-tokens",
    ),
    KeyShape(
        "Square secret",
        "sq0atp- sq0csp-",
        rest=r"[A-Za-z0-9_-]{22,}",
        source="https://developer.squareup.com/docs/build-basics/access-tokens",
    ),
    KeyShape(
        "Braintree token",
        "access_token$",
        rest=r"(?:production|sandbox)\$[0-9a-z]{16}\$[0-9a-f]{32}",
        source=f"{_KINGFISHER}/braintree.yml",
        word=False,
        needs="$",
    ),
    KeyShape("Plaid token", "access-production- access-sandbox- access-development-", rest=_UUID, source=_GITLEAKS),
    KeyShape("Flutterwave key", "FLWSECK- FLWSECK_TEST-", rest=r"[A-Za-z0-9-]{12,}", source=_GITLEAKS),
    KeyShape("Duffel token", "duffel_test_ duffel_live_", rest=r"[A-Za-z0-9_=-]{40,}", source=_GITLEAKS),
    KeyShape("EasyPost key", "EZAK EZTK", rest=r"[A-Za-z0-9]{54}", source=_GITLEAKS),
    KeyShape("Shippo token", "shippo_live_ shippo_test_", rest=r"[0-9a-f]{40}", source=_GITLEAKS),
)

SERVICE_KEYS: Final = (*_REPOSITORIES, *_MONITORING, *_CHATS, *_PAYMENTS)
"""Keys of repositories, monitoring, chats and mail, work tools, payments."""
