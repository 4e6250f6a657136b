"""Requirements that come with mellite: texts, formats, judges, similarity, tool calls."""
