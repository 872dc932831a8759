"""A command that writes once and goes keeps the promises of the log, on a real server."""

import asyncio
import socket
import threading

import pytest

from longshore_common import events as e
from longshore_common import model as m
from longshore_common.adapters.nats_once import append_once
from longshore_common.errors import BadInput, Refused, Unreachable
from longshore_common.log import Entry


def wish(key, *command):
    spec = m.TaskSpec(command=command or ("true",))
    return Entry(e.TasksSubmitted(key=key, batch="b", body=m.Array(spec=spec, size=1)), "ada", key, "")


async def once(server, entry, creds=None, **more):
    return await asyncio.to_thread(append_once, server.url, str(creds or server.creds("user", "ada")), entry, **more)


async def test_the_sequence_and_the_event_are_those_of_the_other_adapter(server):
    seq = await once(server, wish("k1", "x" * 100_000, "é"))
    transport = await server.connect("dispatch")
    async for slice_ in transport.log.follow(0):
        (record,) = [r for r in slice_.records if r.seq == seq]
        break
    other = await server.connect("user", "ada")
    assert await other.log.append(wish("k1", "x" * 100_000, "é")) == seq
    assert (record.event, record.author, record.id) == (wish("k1", "x" * 100_000, "é").event, ("user", "ada"), "k1")


async def test_a_repeat_answers_with_the_first_ones_sequence(server):
    first = await once(server, wish("k1"))
    assert (await once(server, wish("k1")), await once(server, wish("k2"))) == (first, first + 1)


async def test_what_the_credentials_do_not_allow_is_refused(server):
    with pytest.raises(Refused, match="ermissions"):
        await once(server, wish("k1"), creds=server.creds("user", "eve"))
    with pytest.raises(Refused):
        await once(server, wish("k1")._replace(name="eve"))


async def test_an_event_too_large_for_a_message_is_bad_input(server):
    entries = tuple(f"{k * 7919 % 10_000_019:x}{k * 104729 % 15_485_863:x}" for k in range(900_000))
    spec = m.TaskSpec(command=("true",))
    event = e.TasksSubmitted(key="k", batch="b", body=m.Array(spec=spec, size=len(entries), entries=entries))
    with pytest.raises(BadInput, match="in parts"):
        await once(server, Entry(event, "ada", "k", ""))


async def test_a_server_that_comes_back_gets_it_once(server):
    creds = server.creds("user", "ada")
    first = await once(server, wish("k1"), creds)
    server.kill()
    sending = asyncio.create_task(once(server, wish("k2"), creds))
    await asyncio.to_thread(server.start)
    assert await sending == first + 1


async def test_a_server_that_stays_away_is_unreachable(server):
    creds = server.creds("user", "ada")
    server.kill()
    with pytest.raises(Unreachable, match="does not answer"):
        await once(server, wish("k1"), creds, deadline=0.2)


async def test_whatever_else_listens_there_is_named(tmp_path, server):
    def answer(listener):
        conversation, _ = listener.accept()
        with conversation:
            conversation.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=answer, args=(listener,))
        thread.start()
        with pytest.raises(BadInput, match="no NATS server"):
            append_once(f"nats://127.0.0.1:{listener.getsockname()[1]}", None, wish("k1"), deadline=2)
        thread.join()


@pytest.mark.parametrize(
    "text", ["", "-----BEGIN NATS USER JWT-----\nx\n---\n-----BEGIN USER NKEY SEED-----\nnope\n---"]
)
async def test_a_damaged_credentials_file_is_named(server, tmp_path, text):
    (tmp_path / "creds").write_text(text)
    with pytest.raises(BadInput, match="creds"):
        await once(server, wish("k1"), creds=tmp_path / "creds")
