"""Re-scoring by itself: announced once, scored once, stopped where a release is far off; deployments on a real server."""

import contextvars
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from prefect.blocks.webhook import Webhook
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import FlowRun

from flows import deployments
from flows.deployments import HOME
from flows.discover import discover
from flows.notify import notify
from flows.register import check, read_plans, register
from flows.slots import release_slot, slot_name
from flows.watch import BUSY, NO_MODEL, RESCORED, SCORED, WAITS, Outcome, Watch
from lenscore.artifacts import Store, list_names
from lenscore.artifacts.announcements import accept_drift, announce
from lenscore.errors import ConflictError
from tests.cli.runner import run_process
from tests.flows.here import HereLauncher
from tests.flows.server import prefect_server, process_worker

CONFIG = Path(__file__).with_name("watched.toml")
WAIT_SECONDS = 600
NEXT = {"simulate": {"release": "demo-dr2"}, "ingest": {"release": "demo-dr2"}}

pytestmark = pytest.mark.timeout(1800)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Environment of the clients of a Prefect server."""
    with prefect_server(tmp_path_factory.mktemp("prefect")) as environment:
        yield environment


@pytest.fixture(scope="module")
def client(server: dict[str, str]) -> Iterator[SyncPrefectClient]:
    """A client of it."""
    with get_client(sync_client=True) as opened:
        yield opened


@dataclass(frozen=True)
class Story:
    """What watches said, one after the other, and what was run for it."""

    store: Store
    stopped: list[Outcome]
    left_alone: list[Outcome]
    raced: list[Outcome]
    after: list[Outcome]
    ran_for_stop: list[str]
    ran_in_race: list[str]


@pytest.fixture(scope="module")
def story(server: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Story:
    """A model; then a release twice as deep is announced, waits for a person, is accepted, and is raced for."""
    folder = tmp_path_factory.mktemp("watched")
    store, launcher = Store.open(str(folder / "store")), HereLauncher(folder)
    discover(CONFIG, store.url, launcher, parallel=1)
    announce(store, "demo-dr1")
    announce(store, "demo-dr2", NEXT)

    first, second = HereLauncher(folder), HereLauncher(folder)
    stopped = watch(store, first)
    left_alone = watch(store, HereLauncher(folder))
    accept_drift(store, "demo-dr2", list_names(store, "drift", "demo-dr2")[-1].reference, "ann")

    raced: list[Outcome] = []
    start = threading.Barrier(2)

    def race() -> None:
        start.wait()
        raced.extend(watch(store, second))

    # The settings that name the server are not inherited by threads.
    threads = [threading.Thread(target=contextvars.copy_context().run, args=(race,)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT_SECONDS)
    after = watch(store, HereLauncher(folder))
    return Story(store, stopped, left_alone, raced, after, first.ran, second.ran)


def watch(store: Store, launcher: HereLauncher) -> list[Outcome]:
    return Watch(CONFIG, store.url, launcher, parallel=1).run(lambda outcome: None)


def test_a_release_far_from_training_stops_for_a_person_and_says_in_what(story: Story) -> None:
    assert [(outcome.release, outcome.state) for outcome in story.stopped] == [
        ("demo-dr1", SCORED),
        ("demo-dr2", WAITS),
    ]
    assert "demo-dr2 is too far from what the models were trained on: psfdepth" in story.stopped[1].says
    assert "lenscore release accept demo-dr2" in story.stopped[1].says
    assert "drift" in story.ran_for_stop
    assert "classify" not in story.ran_for_stop


def test_it_is_left_alone_until_somebody_has_spoken(story: Story) -> None:
    assert story.left_alone[1] == Outcome("demo-dr2", WAITS)
    assert not story.left_alone[1].is_news
    assert story.stopped[1].is_news


def test_two_watches_at_once_score_it_once(story: Story) -> None:
    states = sorted(outcome.state for outcome in story.raced if outcome.release == "demo-dr2")
    assert states in ([BUSY, RESCORED], sorted([SCORED, RESCORED])), story.raced
    assert story.ran_in_race.count("rank") == story.ran_in_race.count("classify") == 1
    assert [name.label for name in list_names(story.store, "candidates", "demo-dr2")] == ["v1"]


def test_it_ends_with_what_changed(story: Story) -> None:
    said = next(outcome.says for outcome in story.raced if outcome.state == RESCORED)
    assert "candidates before" in said
    assert "- " in said


def test_afterwards_there_is_nothing_to_do(story: Story) -> None:
    assert [outcome.state for outcome in story.after] == [SCORED, SCORED]


def test_deployed_flows_do_what_the_commands_do(story: Story) -> None:
    """All is made already: they find it, in one flow run each, holding the release."""
    address = story.store.url
    found = deployments.discover(str(CONFIG), address)
    assert found["candidates"] == str(list_names(story.store, "candidates", "demo-dr1")[-1].reference)
    again = deployments.rescore("demo-dr2", str(CONFIG), address)
    assert again["candidates"] == str(list_names(story.store, "candidates", "demo-dr2")[-1].reference)
    assert "comparison" in again
    published = deployments.publish("watched", None, str(CONFIG), address)
    assert published["catalogue"] == again["catalogue"]


def test_one_run_at_a_time_holds_a_release(server: dict[str, str]) -> None:
    with release_slot("dr10"):
        with pytest.raises(ConflictError, match="dr10 is being worked on"), release_slot("dr10", wait=False):
            raise AssertionError("two hold it")
        with release_slot("dr11", wait=False):
            pass
    with release_slot("dr10", wait=False):
        pass


class _Heard(BaseHTTPRequestHandler):
    bodies: list[str] = []  # noqa: RUF012
    answer = 200

    def do_POST(self) -> None:
        self.bodies.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
        self.send_response(self.answer)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def test_a_webhook_is_told_and_its_address_is_never_logged(server: dict[str, str]) -> None:
    http = HTTPServer(("127.0.0.1", 0), _Heard)
    threading.Thread(target=http.serve_forever, daemon=True).start()
    lines: list[str] = []
    Webhook(url=f"http://127.0.0.1:{http.server_port}/secret-path").save("lenscore", overwrite=True)
    assert notify("webhook/lenscore", "demo-dr2: re-scored", lines.append)
    assert json.loads(_Heard.bodies[-1])["text"] == "demo-dr2: re-scored"
    assert lines == []
    _Heard.answer = 500
    assert not notify("webhook/lenscore", "x", lines.append)
    http.shutdown()
    http.server_close()
    assert not notify("webhook/lenscore", "x", lines.append)
    assert not notify("webhook/none", "x", lines.append)
    assert len(lines) == 3
    assert "answered 500" in lines[0]
    assert not any("secret-path" in line or str(http.server_port) in line for line in lines)


@pytest.fixture(scope="module")
def registered(server: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store whose deployments are registered."""
    store = Store.open(str(tmp_path_factory.mktemp("registered") / "store"))
    for _ in range(2):  # registering again changes nothing
        names = register(str(CONFIG), store.url)
    assert names == ["discover/discover", "rescore/rescore", "publish/publish", "watch/watch"]
    return store


def test_deployments_are_forms_with_tags_and_limits(registered: Store, client: SyncPrefectClient) -> None:
    rescore = client.read_deployment_by_name("rescore/rescore")
    form = rescore.parameter_openapi_schema["properties"]
    assert form["release"]["pattern"]
    assert form["launcher"]["enum"] == ["local", "kubernetes"]
    assert form["accept_drift"]["type"] == "boolean"
    assert all(field.get("description") for field in form.values()), form
    assert rescore.parameter_openapi_schema["required"] == ["release"]
    assert rescore.enforce_parameter_schema
    assert rescore.parameters["store"] == registered.url
    for plan in read_plans():
        found = client.read_deployment_by_name(f"{plan['name']}/{plan['name']}")
        assert (found.tags, found.work_pool_name) == (plan["tags"], "lenscore")
    watch = client.read_deployment_by_name("watch/watch")
    assert [item.schedule.cron for item in watch.schedules] == ["17 * * * *"]  # type: ignore[union-attr]
    assert client.read_global_concurrency_limit_by_name(slot_name("demo-dr1")).limit == 1


def test_an_announcement_starts_the_watch_at_once(
    registered: Store, server: dict[str, str], client: SyncPrefectClient, tmp_path: Path
) -> None:
    said = run_process("release", "announce", "demo-dr1", "--store", registered.url, **server)
    assert said.code == 0, said.err
    assert "Prefect was told" in said.out
    with process_worker(server, "lenscore", tmp_path / "worker.log"):
        run = finished(client, "watch", tmp_path / "worker.log")
    assert run.state is not None
    assert run.state.is_completed(), run.state.message
    [shown] = [item for item in client.read_artifacts() if item.key == "watch"]
    assert json.loads(str(shown.data)) == [{"release": "demo-dr1", "state": NO_MODEL, "says": ""}]


def test_prefect_s_own_command_creates_the_same_deployments(
    registered: Store, server: dict[str, str], client: SyncPrefectClient
) -> None:
    def look(name: str) -> tuple[object, ...]:
        found = client.read_deployment_by_name(f"{name}/{name}")
        crons = [item.schedule.cron for item in found.schedules]  # type: ignore[union-attr]
        return found.parameter_openapi_schema, sorted(found.tags), found.work_pool_name, crons, found.description

    names = [plan["name"] for plan in read_plans()]
    before = {name: look(name) for name in names}
    automations = sorted(item.name for item in client.read_automations())
    command = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"]
    done = subprocess.run(command, env=server, cwd=HOME, capture_output=True, text=True, timeout=WAIT_SECONDS)
    assert done.returncode == 0, done.stdout + done.stderr
    assert {name: look(name) for name in names} == before
    assert sorted(item.name for item in client.read_automations()) == automations == ["lenscore-release-announced"]


def test_a_check_passes_where_all_is_there(registered: Store, server: dict[str, str]) -> None:
    lines = check(str(CONFIG), registered.url)
    assert len(lines) == 3
    assert "create-only puts hold" in lines[1]
    assert "watch/watch" in lines[2]


def finished(client: SyncPrefectClient, flow: str, log: Path) -> FlowRun:
    """The first run of a flow that an event started, once it has ended."""
    end = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < end:
        for run in client.read_flow_runs():
            started = run.created_by is not None and run.created_by.type == "AUTOMATION"
            if started and run.name and run.state is not None and run.state.is_final():
                return run
        time.sleep(1)
    raise TimeoutError(f"no run of {flow} ended in {WAIT_SECONDS} s:\n{log.read_text()[-2000:]}")
