#!/usr/bin/env bash
# attrs' own validators raise in two ways: `le`, `max_len` and `min_len` with a sentence, `matches_re`, `in_`,
# `instance_of` and `not_` with four or five arguments: the sentence, the Attribute, what was wanted, the value. So
# `str(error)` is a tuple in brackets with the whole Attribute in it, 400 characters for a sentence of 50, and that is what
# msgspec puts into its ValidationError. Who shows it to a user, or to a model that is to mend its answer, shows the class
# from inside. Take `error.args[0]`.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv v
v/bin/pip install -q attrs==26.1.0 msgspec==0.23.0 2>/dev/null
cat > seen.py <<'PYTHON'
from importlib.metadata import version

import attrs
import msgspec
from attrs import validators

SENTENCE = {
    "le": (validators.le(3), 4),
    "min_len": (validators.min_len(3), "ab"),
    "max_len": (validators.max_len(3), "abcd"),
}
TUPLE = {
    "matches_re": (validators.matches_re("[0-9]+"), "x"),
    "in_": (validators.in_(["home", "work"]), "moon"),
    "instance_of": (validators.instance_of(int), "x"),
    "not_": (validators.not_(validators.in_(["admin"])), "admin"),
}


def refused(validator, value):
    """What attrs raises, and what msgspec makes of it."""

    @attrs.frozen
    class Address:
        field: int | str = attrs.field(validator=validator)

    for make in (lambda: Address(value), lambda: msgspec.convert({"field": value}, Address)):
        try:
            make()
        except (ValueError, TypeError) as error:
            yield error


print("attrs", version("attrs"), "msgspec", version("msgspec"))
for names, is_tuple in ((SENTENCE, False), (TUPLE, True)):
    for name, (validator, value) in names.items():
        error, told = refused(validator, value)
        print(f"{name:12} {len(error.args)} arguments, first {error.args[0]!r}; str() has {len(str(error))} characters,")
        print(f"{'':12} and msgspec says {str(told)[:60]!r} ... with {len(str(told))}")
        assert (len(error.args) > 1) is is_tuple, "it raises in another way now"
        assert isinstance(told, msgspec.ValidationError) and str(error) in str(told)
        assert ("Attribute(name='field'" in str(told)) is is_tuple, "msgspec tells it in other words now"
PYTHON
v/bin/python seen.py
