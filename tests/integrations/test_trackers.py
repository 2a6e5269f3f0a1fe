"""Each tracker's own files, read back: the scalars and alerts that a plain writer was given."""

import json
import sqlite3
import struct

import pytest
from test_writing import BROKEN, Notes, train

from thalweg.integrations import MLflowWriter, TensorBoardWriter, TrackioWriter, WandbWriter, writer

LIBRARIES_OWN = [
    # warnings of their own making, about themselves and about what they stand on
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::PendingDeprecationWarning"),
]
pytestmark = LIBRARIES_OWN


def written(tracker):
    """What one run gives a tracker, and what it gives a writer that remembers."""
    notes = Notes()
    train([notes, tracker], broken=BROKEN)
    assert len(notes.rows) >= 5
    return notes


def test_tensorboard(tmp_path, capsys):
    notes = written(TensorBoardWriter(tmp_path / "events"))
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(tmp_path / "events"))
    events.Reload()
    for name in events.Tags()["scalars"]:
        found = {event.step: event.value for event in events.Scalars(name)}
        wanted = {step: row[name] for step, row in notes.rows.items() if name in row}
        assert found == pytest.approx(wanted, rel=1e-6)
    (tag,) = events.Tags()["tensors"]
    texts = [
        (event.step, event.tensor_proto.string_val[0].decode()) for event in events.Tensors(tag)
    ]
    assert [step for step, _ in texts] == [step for _, _, step in notes.alerts]
    assert texts[0][1].startswith("**Training broke** (error): The loss is nan")


def test_mlflow(tmp_path, capsys):
    tracker = MLflowWriter()
    notes = written(tracker)
    from mlflow import MlflowClient

    client, run_id = MlflowClient(), tracker.run_id
    run = client.get_run(run_id)
    assert run.info.status == "FINISHED"
    for name in run.data.metrics:
        found = {one.step: one.value for one in client.get_metric_history(run_id, name)}
        wanted = {step: row[name] for step, row in notes.rows.items() if name in row}
        assert found == pytest.approx(wanted)
    assert len(run.data.metrics) == 6
    tags = {key: value for key, value in run.data.tags.items() if key.startswith("thalweg.")}
    assert len(tags) == len(notes.alerts)
    assert tags["thalweg.error"].startswith(f"Step {BROKEN}: Training broke. The loss is nan")
    assert "Suspected, not proved" in tags["thalweg.warn"]


def test_trackio_beside_a_run_of_the_programs_own(tmp_path, capsys):
    import trackio

    own = trackio.init(project="mine", embed=False, auto_log_cpu=False)
    notes = written(TrackioWriter())
    trackio.log({"mine": 1.0})  # it is still the current one
    own.finish()
    with sqlite3.connect(tmp_path / "trackio" / "thalweg.db") as database:
        rows = database.execute("select step, metrics from metrics").fetchall()
        alerts = database.execute("select title, level, step from alerts order by id").fetchall()
    database.close()
    found = {step: json.loads(metrics) for step, metrics in rows}
    assert found.keys() == notes.rows.keys()
    for step, row in notes.rows.items():
        assert found[step] == pytest.approx(row)
    assert [(title, level, step) for title, level, step in alerts] == notes.alerts


def test_wandb_beside_a_run_of_the_programs_own(tmp_path, capsys):
    import wandb

    own = wandb.init(project="mine")
    notes = written(WandbWriter())
    assert wandb.run is own
    own.log({"mine": 1.0}, step=0)  # its rows are numbered as if we were not there
    own.finish()
    records = [*read_back(tmp_path, "thalweg")]
    rows = [record.history for record in records if record.WhichOneof("record_type") == "history"]
    found = [{item.nested_key[0]: json.loads(item.value_json) for item in row.item} for row in rows]
    steps = [int(row["thalweg/step"]) for row in found]
    assert steps == [*notes.rows]
    for row in found:
        wanted = notes.rows[int(row["thalweg/step"])]
        assert {name: row[name] for name in wanted} == pytest.approx(wanted)
    alerts = [one.alert for one in records if one.WhichOneof("record_type") == "alert"]
    assert [(one.title, one.level) for one in alerts] == [
        (title, level.upper()) for title, level, _ in notes.alerts
    ]


def read_back(folder, project):
    """The records of the offline runs of a project."""
    from wandb.proto import wandb_internal_pb2

    for path in sorted(folder.glob("wandb/offline-run-*/*.wandb")):
        records = [wandb_internal_pb2.Record.FromString(data) for data in log_of(path.read_bytes())]
        if any(one.run.project == project for one in records):
            yield from records


def log_of(data, block=32768, header=7):
    """The entries of a log in LevelDB's format, behind a header of the file's own.

    Each block holds parts: checksum (4 bytes), length (2), kind (1: whole, 2: first, 3: middle,
    4: last), and what is left of a block at its end is empty.
    """
    at, parts = header, b""
    while at + header <= len(data):
        if block - at % block < header:
            at += block - at % block
            continue
        size, kind = struct.unpack_from("<HB", data, at + 4)
        parts += data[at + header : at + header + size]
        at += header + size
        if kind in (1, 4):
            yield parts
            parts = b""


def test_writers_are_made_by_name(tmp_path, capsys):
    made = writer("tensorboard")
    made.close()
    assert isinstance(made, TensorBoardWriter)
    with pytest.raises(ValueError, match=r"writer\('aim'\): choose one of tensorboard, wandb"):
        writer("aim")
