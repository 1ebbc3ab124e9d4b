from __future__ import annotations

import json

import pytest

from loopai_lab.bench import peers
from loopai_lab.bench.child import ArmFailed, line_child
from loopai_lab.bench.floors import BarePipe, Echo, run_call
from loopai_lab.bench.poolcost import pool_pairs_us, queue_pairs_us
from loopai_lab.bench.work import check_answers
from loopai_lab.models import Program
from loopai_lab.rpc.jsonrpc import encode, encode_call


@pytest.mark.integration
async def test_the_bare_pipe_answers_one_at_a_time_and_ten_in_flight() -> None:
    async with BarePipe.open() as pipe:
        assert len(await pipe.latencies_ms(12)) == 12
        assert await pipe.items_per_s(25) > 0
        assert await pipe.items_per_s(3) > 0
        assert len(await pipe.latencies_ms(2)) == 2
    assert pipe.child.process.returncode == 0


@pytest.mark.integration
async def test_the_echo_gives_back_every_message_in_its_order() -> None:
    async with Echo.open() as echo:
        assert len(await echo.latencies_ms(12)) == 12
        assert await echo.items_per_s(25) > 0
        assert await echo.items_per_s(3) > 0


def test_the_echos_message_is_as_long_as_our_run_call() -> None:
    program = Program(code="result = input_data['n'] * 2")
    command = (
        f'{{"type":"run","program":"{program.key}","isolation":"item","timeoutMs":null,"inputs":[{encode({"n": 7})}]}}'
    )
    ours = encode_call(7, "session.execute", f'{{"sessionId":"{"a" * 32}","command":{command}}}')
    assert len(encode(run_call(7))) == len(ours)
    assert json.loads(ours).keys() == run_call(7).keys()


@pytest.mark.integration
async def test_the_process_pool_is_measured_both_ways_and_leaves_nothing() -> None:
    async with peers.ProcessPool.open() as pool:
        assert len(await pool.latencies_ms(5)) == 5
        assert await pool.items_per_s(30) > 0
        assert await pool.items_per_s(30, chunksize=10) > 0
    assert pool.child.process.returncode == 0


@pytest.mark.integration
async def test_a_process_per_item_gives_the_programs_answers() -> None:
    assert await peers.run_process({"n": 21}) == 42
    assert len(await peers.process_latencies_ms(2)) == 2
    assert await peers.process_items_per_s(4, at_once=2) > 0


@pytest.mark.integration
async def test_a_process_that_fails_is_no_sample() -> None:
    with pytest.raises(ArmFailed, match="KeyError"):
        await peers.run_process({"m": 1})
    with pytest.raises(ArmFailed, match="ended with 3"):
        await peers.start_latencies_ms("raise SystemExit(3)", 1)


@pytest.mark.integration
async def test_a_child_that_dies_is_named_with_its_last_words() -> None:
    async with line_child("raise RuntimeError('no way')") as child:
        with pytest.raises(ArmFailed, match="no way"):
            await child.ask(b"anybody?")


async def test_the_pool_and_the_queue_are_measured_without_a_server() -> None:
    assert len(await pool_pairs_us(3)) == 3
    assert len(await queue_pairs_us(3)) == 3


@pytest.mark.parametrize(("answers", "words"), [([0, 2], "2 answers came for 3"), ([0, 3, 4], "n=1 is 3, not 2")])
def test_wrong_or_missing_answers_are_refused(answers: list[int], words: str) -> None:
    with pytest.raises(ArmFailed, match=words):
        check_answers(answers, count=3)
