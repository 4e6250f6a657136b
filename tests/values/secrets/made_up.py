"""Made-up keys, one for each row of the table of shapes; in two parts, so that no scanner finds them in this file."""

from __future__ import annotations

from mellite.values.secrets.keyshape import KeyShape
from mellite.values.secrets.shapes import SHAPES

TAIL = "AbCd0123EfGh4567IjKl89Mn"
LONG = TAIL * 8
HEX = "0123456789abcdef" * 10
CAPITALS = "0A1B2C3D4E5F6G7H8J9K" * 4
UUID = "01234567-89ab-cdef-0123-456789abcdef"

# Mark of a row -> what follows it.
AFTER: dict[str, str] = {
    "earer": f" {TAIL}",
    "uthorization": ": Basic bWU6aHVudGVyMmh1bnRlcg==",
    "://": "me:hunter2@example.com/",
    "-----BEGIN": " RSA PRIVATE KEY-----",
    "eyJ": "hbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmN",
    "AGE-SECRET-KEY-1": CAPITALS[:58],
    "_API_KEY=": HEX[:32],
    "pa-": LONG[:43],
    "GR1348941": LONG[:20],
    "pat.": LONG[:22] + "." + HEX[:24] + "." + LONG[:20],
    "2/": HEX.translate({ord(letter): "7" for letter in "abcdef"})[:16] + "/1234567890123456:" + HEX[:32],
    "t1.": LONG[:180] + "." + LONG[:86],
    ":_authToken=": LONG[:36],
    "cmVmd": LONG[:59],
    "0.": f"{UUID}." + LONG[:30] + ":" + LONG[:22] + "==",
    "st.": HEX[:24] + "." + HEX[:32] + "." + HEX[:32],
    "AKIA": CAPITALS[:16],
    "secret_access_key": '": "0123456789abcdefghij/+ABCDEFGHIJKLMNOPQR"',
    "amzn.mws.": UUID,
    "1//0": LONG[:60],
    "AccountKey=": LONG[:86] + "==",
    "sig=": LONG[:43] + "=",
    "Q~": LONG[:34],
    "AZDO": "4Ab9",
    "AzFu": "Ab12Cd34==",
    "AzSe": "Ab12Cd",
    "LTAI": LONG[:20],
    "AKID": LONG[:32],
    "AQVN": LONG[:36],
    "SCW": CAPITALS[:17],
    "tskey-": "auth-k" + TAIL + "-" + TAIL,
    "dp.pt.": LONG[:43],
    "ops_eyJ": LONG[:120],
    "pul-": HEX[:40],
    "v1.0-": HEX[:24] + "-" + HEX[:146],
    "dop_v1_": HEX[:64],
    "sbp_": HEX[:40],
    "dapi": HEX[:32],
    "dose": HEX[:32],
    "4b1d": LONG[:38],
    "pat": TAIL[:14] + "." + HEX[:64],
    "rubygems_": HEX[:48],
    "cio": LONG[:32],
    "oy2": ("abcdefghij0123456789" * 3)[:43],
    "CLOJARS_": HEX[:60],
    "tid=": HEX[:32] + ";exp=1234567890;sku=x",
    "ATBB": LONG[:32],
    "bkua_": HEX[:40],
    "squ_": HEX[:40],
    "PMAK-": HEX[:24] + "-" + HEX[:34],
    "rdme_": HEX[:64],
    "pnu_": LONG[:36],
    "api-": UUID,
    "glsa_": LONG[:32] + "_0123abcd",
    "FFFFNRAL": "",
    "dt0c01.": CAPITALS[:24] + "." + CAPITALS[:64],
    "xaat-": UUID,
    "hooks.slack.com/": "services/T0123ABCD/B0123ABCD/" + TAIL,
    "discord.com/api/webhooks/": "123456789012345678/" + LONG[:68],
    "MT": LONG[:22] + ".AbCd12." + LONG[:38],
    ".webhook.office.com/": f"webhookb2/{UUID}@{UUID}/IncomingWebhook/{HEX[:32]}/{UUID}",
    ":AA": LONG[:33],
    "hooks.zapier.com/hooks/catch/": "1234567/ab12cd3",
    "SK": HEX[:32],
    "SG.": LONG[:22] + "." + LONG[:43],
    "key-": HEX[:32],
    "-us": "12",
    "xkeysib-": HEX[:64] + "-" + TAIL[:16],
    "re_": TAIL[:8] + "_" + TAIL,
    "secret_": LONG[:43],
    "pk_": "12345678_" + CAPITALS[:32],
    "pat-na1-": UUID,
    "aio_": LONG[:28],
    "shpat_": HEX[:32],
    "access_token$": f"production${HEX[:16]}${HEX[:32]}",
    "access-production-": UUID,
    "shippo_live_": HEX[:40],
    "JQQJ9": "9BCACYeBjFXJ3w3AAABACOGabcd",
    "api_org_": "AbCdEfGhIjKlMnOpQrStUvWxYzAbCdEfGh",
    "LLM|": "123456789012|" + TAIL,
    ".": "AbCd0123EfGh4567",
    "pcsk_": "AbCd1_" + LONG[:63],
    "rpa_": CAPITALS[:44],
    "e2b_": HEX[:40],
    "fc-": HEX[:32],
    "sk-lf-": UUID,
    "sk-helicone-": "abcdefg-hijklmn-opqrstu-vwxyz01",
    "pylf_v": "1_us_" + LONG[:40],
    "sk-": "proj-" + TAIL,
    "sk.eyJ": LONG[:60] + "." + TAIL,
    "sl.": LONG[:140],
    "EAA": LONG[:120],
}

# Mark of a row -> what stands before it.
BEFORE: dict[str, str] = {
    "earer": "B",
    "uthorization": "A",
    "://": "https",
    "_API_KEY=": "DD",
    "JQQJ9": LONG[:52],
    ".": HEX[:32],
    "Q~": "aB~8",
    "AZDO": LONG[:76],
    "AzFu": LONG[:44],
    "AzSe": LONG[:42],
    ".atlasv1.": TAIL[:14],
    "FFFFNRAL": HEX[:32],
    ".webhook.office.com/": "https://example",
    ":AA": "12345678",
    "-us": HEX[:32],
}


def made_up(shape: KeyShape) -> tuple[str, str]:
    """A key of this kind, in two parts of which none looks like one."""
    mark = next((mark for mark in shape.marks if mark in AFTER), shape.marks[0])
    key = BEFORE.get(mark, "") + mark + AFTER.get(mark, LONG[:64])
    cut = len(BEFORE.get(mark, "")) + max(1, len(mark) // 2)
    return key[:cut], key[cut:]


KEYS: dict[str, tuple[str, str]] = {
    shape.name if position == 0 else f"{shape.name} ({shape.marks[0]})": made_up(shape)
    for shape in SHAPES
    for position in [[other for other in SHAPES if other.name == shape.name].index(shape)]
}
"""The name of a row, with its mark where another row has that name -> a key of this kind."""


def kind(name: str) -> str:
    """What a finding calls the key of this name."""
    return name.partition(" (")[0]
