"""A notebook for marimo: as a script it prints, and `marimo export html` runs it and keeps the outputs of its cells."""

import marimo

app = marimo.App()


@app.cell
def _():
    import sys

    import mellite
    from mellite import backends

    return backends, mellite, sys


@app.cell
def _(backends):
    backends.Scripted([]).generate("shown while pending")


@app.cell
async def _(backends, mellite):
    await mellite.watch(backends.Scripted(["watched <b>text</b>"]).generate("Write."))


@app.cell
async def _(backends, mellite):
    thunks = backends.Scripted(["one", "two", "three", "four"]).generate("Count.").resample(4)
    results = await mellite.gather(thunks, progress=True)
    return (results,)


@app.cell
def _(results, sys):
    _ = sys.stdout.write(f"{results.texts}\n")


if __name__ == "__main__":
    app.run()
