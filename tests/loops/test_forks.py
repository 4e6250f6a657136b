"""Forks: the child finds every lock open, and what ran in the parent is settled there instead of waited for."""

from __future__ import annotations

import os
import textwrap

import pytest

from tests.thunk.support import run_child

if not hasattr(os, "fork"):
    pytest.skip("this platform has no fork", allow_module_level=True)

FORKING = """
    import asyncio, gc, os, signal, sys, threading, warnings
    import anyio, anyio.to_thread, mellite
    from mellite.errors import GenerationCancelled
    from mellite.events import Finish, TextDelta

    warnings.simplefilter("ignore", DeprecationWarning)  # forking with threads, from Python 3.12 on

    def in_child(function):
        '''Run it in a forked child that has 20 seconds for it; gives the exit code.'''
        child = os.fork()
        if child == 0:
            code = 1
            signal.alarm(20)
            try:
                function()
                code = 0
            finally:
                sys.stdout.flush()
                os._exit(code)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    class Standing(mellite.Backend):
        '''Sends two deltas and waits until it is released.'''
        def __init__(self):
            self.standing, self.released = threading.Event(), threading.Event()
        async def stream(self, request):
            yield TextDelta("one ")
            yield TextDelta("two ")
            self.standing.set()
            await anyio.to_thread.run_sync(self.released.wait, abandon_on_cancel=True)
            yield TextDelta("three")
            yield Finish("stop")

    backend = Standing()
    anyio.run(mellite.backends.Echo().generate("hi").avalue)  # no thread is importing anything when it forks
    thunk = backend.generate("hi")
    thread = threading.Thread(target=thunk.result)
"""

RUNNING = {
    "result": "thunk.result()",
    "iter": "list(thunk.iter())",
    "next": "list(iterator)",
    "await": "asyncio.run(thunk.avalue())",
    "trio": "anyio.run(thunk.avalue, backend='trio')",
    "async for": "asyncio.run(read())",
    "gather": "asyncio.run(mellite.gather(thunk)); thunk.result()",
    "outer": "mellite.backends.Echo().generate(['say ', thunk]).settle; thunk.result()",
    "cancel": "asyncio.run(thunk.cancel_generation('in the child')); thunk.result()",
    "with": "exec('with thunk: pass'); thunk.result()",
}


@pytest.mark.slow
@pytest.mark.parametrize("use", RUNNING.values(), ids=RUNNING)
def test_a_running_one(use):
    """One that runs in the parent is cancelled in the child, its text kept, whoever looks first; the parent goes on."""
    done = run_child(
        textwrap.dedent(FORKING)
        + textwrap.dedent(f"""
        iterator = thunk.iter()
        assert next(iterator) == "one "
        thread.start()
        assert backend.standing.wait(20)

        async def read():
            async for _ in thunk:
                pass

        def child():
            try:
                {use}
            except GenerationCancelled as error:
                print(thunk.state, thunk.partial, "forked" in str(error))
            outer = mellite.backends.Echo().generate(["say ", thunk])
            outer_error = asyncio.run(outer.settle()).error
            assert isinstance(outer_error.__cause__, GenerationCancelled)
            assert mellite.backends.Echo().generate("new").result() == "new"

        print(in_child(child))
        backend.released.set()
        print(thunk.result())
        thread.join()
        """)
    )
    assert done.stdout.splitlines() == ["cancelled one two  True", "0", "one two three"]


def test_in_a_loop():
    """A child forked in the middle of a running loop has what ran in that loop cancelled."""
    done = run_child(
        textwrap.dedent(FORKING)
        + textwrap.dedent("""
        def child():
            try:
                looking = threading.Thread(target=lambda: print(thunk.state))
                looking.start()
                looking.join()
                thunk.result()
            except GenerationCancelled:
                print(repr(thunk.partial))

        async def main(thunk):
            async for _ in thunk:
                break
            task = asyncio.get_running_loop().create_task(thunk.settle())
            await asyncio.to_thread(backend.standing.wait, 20)
            code = in_child(child)
            backend.released.set()
            await task
            return code, thunk.value

        print(*asyncio.run(main(thunk)))
        """)
    )
    assert done.stdout.splitlines() == ["cancelled", "'one two '", "0 one two three"]


AT_EVERY_LOCK = """
    from mellite.loops import forking

    def held():
        return any(repr(each).startswith("<locked") for each in list(forking._renewed))

    home = os.path.dirname(mellite.__file__)
    asked, go_on = threading.Semaphore(0), threading.Semaphore(0)
    stops = set()

    def line(frame, event, arg):
        place = frame.f_code.co_filename, frame.f_lineno
        if event == "line" and place not in stops and held():
            stops.add(place)
            asked.release()
            go_on.acquire()
        return line

    def enter(frame, event, arg):
        return line if frame.f_code.co_filename.startswith(home) else None

    def fork_at_every_lock(use):
        '''Have it used by a thread, and fork wherever that thread, or one that works for it, holds a lock.'''
        use()  # so that what it imports is there
        over = []
        def work():
            try:
                use()
            finally:
                over.append(True)
                asked.release()
        threading.settrace(enter)
        worker = threading.Thread(target=work)
        worker.start()
        codes = []
        while True:
            asked.acquire()
            if over:
                break
            codes.append(in_child(lambda: (sys.settrace(None), threading.settrace(None), use())))
            go_on.release()
        threading.settrace(None)
        worker.join()
        return codes
"""

USES = """
    import contextvars
    from mellite.cassettes.recording.transport import RecordTransport
    from mellite.wire.transports.scripted import ScriptedTransport

    BODY = '{"choices": [{"message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}]}'

    def result():
        return lambda: mellite.backends.Echo().generate("hi").result()

    def scripted():
        backend = mellite.backends.Scripted(["hi"] * 99)
        return lambda: backend.generate("hi").result()

    def copies():
        thunk = mellite.backends.Echo().generate("hi")
        return lambda: thunk.resample(2)[0].result()

    def share():
        context, backend = contextvars.copy_context(), mellite.backends.Echo()
        context.run(mellite.share().__enter__)
        return lambda: context.copy().run(lambda: backend.generate("hi").result())

    def recording():
        transport = RecordTransport(ScriptedTransport([BODY] * 99))
        backend = mellite.backend("openai-chat:gpt-4o-mini", api_key="sk-test", transport=transport, stream=False)
        return lambda: backend.generate("hi").result()
"""


@pytest.mark.slow
@pytest.mark.parametrize("use", ["result", "scripted", "copies", "share", "recording"])
def test_while_another_thread_holds_a_lock(use):
    """A child forked while another thread holds a lock of mellite's, whichever, uses mellite as if it were open."""
    done = run_child(
        textwrap.dedent(FORKING)
        + textwrap.dedent(AT_EVERY_LOCK)
        + textwrap.dedent(USES)
        + f"\nuse = {use}()\nassert use() == 'hi'\ncodes = fork_at_every_lock(use)\nprint(len(codes), *set(codes))\n"
    )
    count, *codes = done.stdout.split()
    assert int(count) >= 2
    assert codes == ["0"]


IN_FLIGHT = {
    "a key is fetched": """
        from mellite.wire.auth.tokens import Refreshing

        def fetch():
            if os.getpid() == parent:
                begun.set()
                released.wait(20)
            return "secret"

        key = Refreshing(fetch)

        def use():
            anyio.run(key.ready)
            assert key.reveal() == "secret"
    """,
    "an answer is stored": """
        from mellite.cassettes.recording.transport import RecordTransport
        from mellite.wire.transports.scripted import ScriptedTransport
        from mellite.wire.transports.default import HttpRequest

        class Disk:
            def append(self, interaction, **_):
                if os.getpid() == parent:
                    begun.set()
                    released.wait(20)
            def finish(self): ...
            def abandon(self): ...

        transport = RecordTransport(ScriptedTransport(["{}"] * 9), Disk())

        async def ask():
            response = await transport.open(HttpRequest("GET", "https://example.com/"))
            while await response.read():
                pass

        def use():
            anyio.run(ask)
    """,
}


@pytest.mark.parametrize("program", IN_FLIGHT.values(), ids=IN_FLIGHT)
def test_while_the_parent_is_at_it(program):
    """What a thread of the parent is in the middle of is nothing to wait for in the child."""
    done = run_child(
        textwrap.dedent(FORKING)
        + "\nparent, begun, released = os.getpid(), threading.Event(), threading.Event()\n"
        + textwrap.dedent(program)
        + textwrap.dedent("""
        worker = threading.Thread(target=use)
        worker.start()
        assert begun.wait(20)
        print(in_child(use))
        released.set()
        worker.join()
        """)
    )
    assert done.stdout.split() == ["0"]


LIVE = """
    import socketserver

    BODY = b'{"choices": [{"message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}]}'
    peers = []

    class Answering(socketserver.StreamRequestHandler):
        def handle(self):
            peers.append(self.client_address)
            while (line := self.rfile.readline()):
                size = 0
                while line.strip():
                    name, _, value = line.partition(b":")
                    size = int(value) if name.lower() == b"content-length" else size
                    line = self.rfile.readline()
                self.rfile.read(size)
                head = b"HTTP/1.1 200 OK\\r\\ncontent-type: application/json\\r\\n"
                self.wfile.write(head + b"content-length: %d\\r\\n\\r\\n" % len(BODY) + BODY)

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True

    server = Server(("127.0.0.1", 0), Answering)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    backend = mellite.backend("openai-chat:gpt-4o-mini", api_key="sk-test", base_url=url, stream=False)

    def ask():
        global backend
        assert backend.generate("hi").result() == "hi"

    def child():
        global backend
        ask()
        ask()
        del backend
        gc.collect()

    ask()
    print([in_child(child) for _ in range(2)])
    ask()
    ask()
    print(len(peers))
"""


@pytest.mark.slow
def test_connections_stay_with_their_process():
    """A child opens connections of its own; those of the parent go on, whatever the child does with its backend."""
    done = run_child(textwrap.dedent(FORKING) + textwrap.dedent(LIVE))
    assert done.stdout.splitlines() == ["[0, 0]", "3"]


def test_threads_for_functions() -> None:
    """A forked child starts threads of its own: those that were idle stayed behind."""
    done = run_child(
        """
        import os, signal, threading, warnings
        import anyio
        from mellite import loops

        warnings.simplefilter("ignore", DeprecationWarning)  # forking with threads, from Python 3.12 on
        anyio.run(loops.run_in_thread, len, "abc")
        child = os.fork()
        if child == 0:
            signal.alarm(20)
            os._exit(anyio.run(loops.run_in_thread, len, "abc"))
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        """
    )
    assert done.stdout == "3\n"
