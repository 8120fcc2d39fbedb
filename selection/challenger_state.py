"""What is known of a symbol's challenger from one command to the next: ``challenger.json``.

It lies under ``challengers/<SYMBOL>/`` beside the live manifest, and every training has a folder of
its own below: what one has written is never taken for another's. Nothing that is live reads them.
"""

import hashlib
import json
import re
import shutil
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from market.reading.safe_names import printable
from selection.atomic import sync_folder, write_json_atomically
from selection.strict_json import strict_json

CHALLENGERS: Final = "challengers"
FILE: Final = "challenger.json"
MANIFEST: Final = "deployment_manifest.json"

Status = Literal["training", "waiting", "adopted", "dismissed"]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
# When a training began, to the microsecond.
FOLDER: Final = re.compile("^[0-9]{8}T[0-9]{12}Z$")


class ChallengerStateError(ValueError):
    """A state that cannot be read; one line naming the file, the field and what was found."""


class ChallengerState(BaseModel):
    """One symbol's challenger.

    Attributes
    ----------
    symbol : str
    status : str
        ``training``; ``waiting`` for later events; ``adopted``; or ``dismissed``.
    reason : str
        One sentence.
    folder : str
        What its training has written lies there, as `new_folder` names it.
    trained_until : datetime
        Bars that close later are not there for it, UTC.
    alarm : datetime or None
        When the alarm was raised that called for it; None where it was asked for by hand.
    champion : str or None
        Digest of the files of the model that it is to replace; None where there is none.
    champion_model, model : str or None
        Their names; of a challenger that was not found, None.
    manifest_sha256 : str or None
        Of the manifest that it was trained into; None while it is being trained.
    changed_utc : datetime
        When this was last written.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = 1
    symbol: str
    status: Status
    reason: str
    folder: Annotated[str, Field(pattern=FOLDER.pattern)]
    trained_until: AwareDatetime
    alarm: AwareDatetime | None = None
    champion: Sha256 | None = None
    champion_model: str | None = None
    model: str | None = None
    manifest_sha256: Sha256 | None = None
    changed_utc: AwareDatetime


def challenger_folder(manifest: Path, symbol: str) -> Path:
    """Return the folder that holds a symbol's challenger, below the live manifest's."""
    return manifest.parent / CHALLENGERS / symbol


def challenger_manifest(manifest: Path, state: ChallengerState) -> Path:
    """Return the manifest that a challenger is trained into."""
    return challenger_folder(manifest, state.symbol) / state.folder / MANIFEST


def new_folder(now_utc: datetime) -> str:
    """Return the name of the folder of a training that begins now."""
    return f"{now_utc.astimezone(UTC):%Y%m%dT%H%M%S%f}Z"


def read_state(manifest: Path, symbol: str) -> ChallengerState | None:
    """Return what is known of a symbol's challenger; None where there is none.

    Raises
    ------
    ChallengerStateError
        If there is a file and it is none of this version.
    """
    path = challenger_folder(manifest, symbol) / FILE
    try:
        return ChallengerState.model_validate(strict_json(path.read_bytes()))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ChallengerStateError(f"{path}: cannot be read: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = printable(".".join(map(str, first["loc"]))) or "the document"
        raise ChallengerStateError(
            f"{path}: {field}: {first['msg']}; remove the file to have {symbol} trained again"
        ) from error
    except ValueError as error:
        raise ChallengerStateError(
            f"{path}: {error}; remove the file to have {symbol} trained again"
        ) from error


def write_state(manifest: Path, state: ChallengerState) -> None:
    """Write what is known of a challenger, whole or not at all, and see it reach the disk."""
    folder = challenger_folder(manifest, state.symbol)
    write_json_atomically(folder / FILE, state.model_dump(mode="json"))
    sync_folder(folder)


def put_back(manifest: Path, symbol: str, before: ChallengerState | None) -> None:
    """Make a symbol's state what it was; None: there was none."""
    if before is not None:
        write_state(manifest, before)
        return
    folder = challenger_folder(manifest, symbol)
    (folder / FILE).unlink(missing_ok=True)
    sync_folder(folder)


def remove_others(manifest: Path, state: ChallengerState) -> None:
    """Remove what earlier trainings of a symbol have left; who is live has files of his own."""
    for place in challenger_folder(manifest, state.symbol).iterdir():
        if FOLDER.match(place.name) and place.name != state.folder:
            shutil.rmtree(place, ignore_errors=True)


def changed(state: ChallengerState, now_utc: datetime, **fields: Any) -> ChallengerState:
    """Return a state with some fields changed, checked as when it is read."""
    return ChallengerState.model_validate({**state.model_dump(), **fields, "changed_utc": now_utc})


def files_digest(selection: Mapping[str, Any]) -> str | None:
    """Return a digest of the files of a selection's model; None where none is deployed.

    It stays the same where no more than a threshold or a calibration is changed.
    """
    if selection.get("selected_model") is None:
        return None
    files = sorted((one["path"], one["sha256"]) for one in selection.get("artifacts", ()))
    text = json.dumps([selection["selected_model"], files])
    return hashlib.sha256(text.encode()).hexdigest()
