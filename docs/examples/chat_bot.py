"""A bot for team chat: one conversation per channel, and a second provider when the first is down.

Offline, from its cassette:     python docs/examples/chat_bot.py
Live, which records it anew:    OPENAI_API_KEY=... ANTHROPIC_API_KEY=... RECORD=true python docs/examples/chat_bot.py
Your own messages, live:        ... python docs/examples/chat_bot.py - (a line each: channel, user, text)
"""

import asyncio
import sys
from pathlib import Path

import mellite
from mellite import Conversation
from mellite.errors import MelliteError

HERE = Path(__file__).parent

MESSAGES = [
    "#kitchen ana Who waters the plants this week?",
    "#office tom Is the printer on the second floor working?",
    "#kitchen ben And next week?",
]


class Bot:
    """Answers messages; what was said in one channel is not known in another."""

    def __init__(self, backend: mellite.Backend) -> None:
        self.fresh = Conversation(
            backend,
            system="You are the helper of a small office. Ana waters the plants in even weeks, Ben in odd ones. "
            "It is week 12. Answer in one sentence, and say so when you do not know.",
            max_tokens=200,
        )
        self.channels: dict[str, Conversation] = {}

    async def reply(self, channel: str, user: str, text: str) -> str:
        """Answer one message; the conversation goes on only from an answer that came."""
        chat = self.channels.get(channel, self.fresh).trimmed(turns=20)
        answer = chat.ask(f"{user}: {text}")
        try:
            said = await answer
        except MelliteError as error:
            return f"(sorry, nobody answers: {error})"
        self.channels[channel] = chat.after(answer)
        return f"{said}  [{answer.generation.provider}]"


async def main(source: str = "") -> None:
    async with mellite.cassettes.use(HERE / "cassettes" / "chat_bot.json", match="pool") as transport:
        first = mellite.backend("openai:gpt-4o-mini", transport=transport, retries=0)
        second = mellite.backend("anthropic:claude-haiku-4-5", transport=transport)
        bot = Bot(mellite.FallbackTo(mellite.CircuitBreaker(first, failures=3), second))
        for line in sys.stdin if source == "-" else MESSAGES:
            channel, user, text = line.strip().split(" ", 2)
            print(f"{channel} {user}: {text}")
            print(f"{channel} bot: {await bot.reply(channel, user, text)}")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:2]))
