"""The cells of the notebook that tests/notebooks/jupyter.py runs: what people do, with a model that takes its time."""

CELLS = (
    """\
import asyncio
import anyio
import mellite
from mellite.backends import Scripted
from mellite.events import Finish, ResponseStart, TextDelta, Usage
from mellite.messages import ToolCall

class Model(mellite.Backend):
    async def stream(self, request):
        yield ResponseStart(provider="openai", model="gpt-4o-mini")
        for number in range(8):
            yield TextDelta(f"piece {number}, ")
            await anyio.sleep(0.11)
        yield TextDelta("<script>alert('hostile')</script> end")
        yield Finish("stop", usage=Usage.of(input_tokens=17, output_tokens=10))

def weather(city: str) -> str:
    "Tell the weather."
    return "22 degrees"

model = Model()
""",
    "pending = model.generate('Write.')\npending",
    "await pending",
    "pending",
    "watched = await mellite.watch(model.generate('Write again.'));",
    """\
answers = [[ToolCall("1", "weather", {"city": "Oslo"})], "It is 22 degrees."]
run = mellite.run(Scripted(answers), "How warm?", tools=[weather])
await run
run""",
    "await mellite.gather(Scripted(['one', ValueError('no'), 'three']).generate('Count.').resample(3))",
    """\
letters = Scripted(["a", "abc", "ab"]).generate("Letters?")
await mellite.BestOfN(3, score=lambda thunk: len(thunk.value)).sample(letters)""",
    "mellite.cassettes.load_cassette(CASSETTE)",
    """\
with mellite.journal(JOURNAL) as journal:
    await Scripted(['kept']).generate('Keep this.')
journal""",
    "got = await mellite.gather(model.generate('x').resample(6), concurrency=2, progress=True)",
    "await asyncio.gather(mellite.watch(model.generate('left')), mellite.watch(model.generate('right')));",
    """\
try:
    model.generate('x').result()
except mellite.errors.SyncInsideLoop as error:
    print(error)
""",
)
