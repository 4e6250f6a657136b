"""The six protocols have the same files, with the same functions in the same order."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import mellite

FOLDERS = sorted(
    path for path in (Path(mellite.__file__).parent / "protocols").iterdir() if (path / "body.py").is_file()
)
FILES = {
    "__init__.py": ["protocol"],
    "body.py": ["lower", "_set_tools", "_tool"],
    "content.py": ["ConversationWriter"],
    "state.py": ["State"],
    "stream.py": ["initial", "step", "halt", "_take", "_concluded", "unary"],
    "answer.py": ["usage_of"],
    "plain.py": ["plain"],
}


def test_all_are_here() -> None:
    """There are six protocols."""
    assert [path.name for path in FOLDERS] == [
        "anthropic_messages",
        "bedrock_converse",
        "cohere_chat",
        "gemini",
        "openai_chat",
        "openai_responses",
    ]


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: path.name)
def test_the_same_functions_in_the_same_order(folder: Path, file: str) -> None:
    """What one protocol has at a place, the next has there too."""
    tree = ast.parse((folder / file).read_text())
    names = [node.name for node in tree.body if isinstance(node, (ast.FunctionDef, ast.ClassDef))]
    assert [name for name in names if name in FILES[file]] == FILES[file]
