"""Programs to copy, none of which needs a key: run one as ``python -m mellite.recipes.llm_call_example``."""
