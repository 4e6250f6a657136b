"""What the made-up providers of the examples say: a function of the request for each example, written by hand."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Final

from mellite import Request, ToolCall
from mellite.errors import ProviderInternal
from mellite.messages import ToolResult

Answer = str | BaseException | Sequence[str | ToolCall]


def agent(request: Request) -> Answer:
    """Look which notes there are, read two of them at once, then answer."""
    results = [part for message in request.messages for part in message.content if isinstance(part, ToolResult)]
    if not results:
        return [ToolCall("call_1", "list_notes", {})]
    if len(results) == 1:
        names = ("travel.txt", "meeting.txt")
        return [ToolCall(f"call_{n}", "read_note", {"name": name}) for n, name in enumerate(names, start=2)]
    return "The train to Bern left from platform 31. The printers asked for the files by the 14th, two days early."


def summarise_folder(request: Request) -> Answer:
    """Say in a sentence what a note says, and what all of them are about."""
    return answer_about(
        request,
        {
            "\n\nTravel,": "The cancelled train to Bern was replaced by the 8:02 from platform 31.",
            "\n\nMeeting ": "The printers need the files by the 14th and deliver 500 copies for 1,840 francs.",
            "\n\nGarden,": "Mice ate the peas, frost keeps the tomatoes inside, and the rain barrel leaks.",
            "these notes": "They are about a journey to Bern, a print job and the garden in May.",
        },
    )


LABELS: Final = {
    "Honey from the lime trees on Mill Street.": 0.9,
    "Pure golden joy, lovingly crafted for you.": 0.2,
    "Amber honey from the bees behind the library.": 0.8,
    "A jar of honey that tastes of lime blossom, of warm evenings and of the whole long summer in town.": 0.5,
    "The sweetest dream of the city.": 0.1,
}
"""The five labels, and what the judge thinks of them."""

_labels = iter(LABELS)


def best_of_five(request: Request) -> Answer:
    """Give another label each time; as the judge, a score and a reason."""
    if request.model != "gpt-4o":
        return next(_labels)
    score = next(score for label, score in LABELS.items() if label in request.text)
    reason = "One can see or taste it." if score > 0.5 else "Its words are bigger than the jar."
    return json.dumps({"reason": reason, "passed": score > 0.5, "score": score})


def chat_server(request: Request) -> Answer:
    """Give a short answer and a long one."""
    return answer_about(
        request,
        {
            "tides": "The moon pulls the sea up, and the earth turns below it.",
            "months": " ".join(f"Month {n} has {days} days." for n, days in enumerate(DAYS, start=1)),
        },
    )


DAYS: Final = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
"""How long the months are."""


def chat_bot(request: Request) -> Answer:
    """Answer as OpenAI about the plants; about the printer OpenAI is down, and Anthropic answers."""
    if "printer" in request.text and request.model == "gpt-4o-mini":
        return ProviderInternal("The server had an error while processing your request.")
    return answer_about(
        request,
        {
            "printer": "I do not know whether the printer works; please ask at the front desk.",
            "this week": "Ana waters the plants this week.",
            "next week": "Next week it is your turn, Ben.",
        },
    )


def extract(request: Request) -> Answer:
    """Read the four orders; the third one has no quantity."""
    orders = {
        "R. Bell": ("honey", 12, "R. Bell", "Mill Lane 3", "normal"),
        "Okafor": ("candles", 2, "Mrs Okafor", "18 Harbour Street", "urgent"),
        "J. Lind": ("soap", 0, "J. Lind", "Long Road 40", "normal"),
        "Piet": ("basket", 1, "Piet", "Canal 7", "normal"),
    }
    names = ("item", "quantity", "customer", "address", "urgency")
    return answer_about(request, {key: json.dumps(dict(zip(names, row, strict=True))) for key, row in orders.items()})


def evaluation(request: Request) -> Answer:
    """Sort messages into boxes, one of them into a wrong one."""
    boxes = {
        "invoice": ("March", "240 francs", "unpaid", "charged twice"),
        "complaint": ("two pieces", "three weeks", "your phone"),
        "question": ("Norway", "burner", "Mondays"),
    }
    return answer_about(request, {word: json.dumps({"value": box}) for box, words in boxes.items() for word in words})


def research(request: Request) -> Answer:
    """Plan four questions, answer each, and report."""
    findings = {
        "Which sounds were used?": "Bells came first, struck by hand. Horns and cannons came where bells were weak.",
        "Who had to sound them?": "Mostly the keeper of the light and the family. Some paid a boy by the hour.",
        "How far could they be heard?": "A bell carried half a mile in still air. A horn carried two or three.",
        "What did crews do on hearing one?": "They counted the seconds between strokes, which told the harbour.",
    }
    return answer_about(
        request,
        {
            "to research": json.dumps({"value": list(findings)}),
            "a report": "Small harbours warned by sound: bells, then horns and cannons. Keepers and their families did "
            "the work. Crews knew the harbour by the seconds between two strokes.",
            **findings,
        },
    )


def answer_about(request: Request, answers: dict[str, str]) -> str:
    """Return the first answer whose key is in the last message.

    Raises:
        LookupError: if there is none.
    """
    for key, answer in answers.items():
        if key in request.text:
            return answer
    msg = f"nothing is written for {request.text!r}"
    raise LookupError(msg)


#: Example -> what answers it.
ANSWERS: Final[dict[str, Callable[[Request], Answer]]] = {
    "agent": agent,
    "best_of_five": best_of_five,
    "chat_bot": chat_bot,
    "chat_server": chat_server,
    "extract": extract,
    "research": research,
    "summarise_folder": summarise_folder,
    "test_evaluation": evaluation,
}

#: Example -> seconds before each piece; none for the others.
DELAYS: Final[dict[str, float]] = {"chat_server": 0.1, "research": 0.1}
