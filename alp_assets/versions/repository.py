"""The git and DVC repository that a data root belongs to: its own, or that of the project around it."""

from __future__ import annotations

import importlib.util
import io
import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from alp_assets.errors import VersionRefused
from alp_assets.files import write_bytes
from alp_assets.home import object_url
from alp_assets.params import PROJECT, VersionParams
from alp_assets.versions.git import Git
from alp_assets.versions.queue import Queue
from alp_assets.versions.quiet import quiet

REMOTE = "store"
PARAMS = "params.yaml"
_MARK = "# ALP's repository"
# with ?* in place of * git and DVC do not take the folder above for ignored as well
_IGNORED = f"""\
{_MARK}: git keeps the .dvc files, the parameters and nothing else; DVC keeps what they name.
/*
!/.gitignore
!/.dvc
!/.dvcignore
!/params.yaml
!/packages
/packages/*/?*
!/packages/*/*.dvc
!/models
/models/*/*/?*
!/models/*/*/*.dvc
!/weights
/weights/?*
!/weights/*.dvc
"""
_DVC_IGNORED = """\
/config.local
/tmp
/cache
"""
_UNFINISHED = """\
# What a stage was writing when it was killed is no result.
.*.part
.*.unfinished
.packing-*
"""
_PARAMS = """\
# The parameters of this data root. What is left out keeps its default.
"""
_INDENT = " " * 4
_ENDPOINT = "ALP_S3_ENDPOINT"
_LINKS = ("reflink", "hardlink", "copy")
_EXTRAS = {
    "s3": ("dvc_s3", "install the extra s3: pip install 'alp[s3]'"),
    "ssh": ("dvc_ssh", "install the extra ssh: pip install 'alp[ssh]'"),
    "sftp": ("dvc_ssh", "install the extra ssh: pip install 'alp[ssh]'"),
}


@dataclass(frozen=True)
class Repository:
    """Where a data root is versioned. ``root`` is the top of the repository."""

    root: Path
    data_root: Path

    @property
    def own(self) -> bool:
        """Whether the repository is the data root's own and ALP made it; only there ALP commits."""
        if self.root != self.data_root:
            return False
        ignored = self.root / ".gitignore"
        made = ignored.is_file() and ignored.read_text(encoding="utf-8").startswith(_MARK)
        return made or not self.git.is_repository()

    @property
    def git(self) -> Git:
        """Its git."""
        return Git(self.root)

    def inside(self, path: Path) -> str:
        """A path as git knows it."""
        return path.resolve().relative_to(self.root).as_posix()


def find_repository(data_root: Path) -> Repository | None:
    """The repository that a data root lies in, the nearest one."""
    place = data_root.resolve()
    for candidate in (place, *place.parents):
        if (candidate / ".dvc" / "config").is_file():
            return Repository(candidate, place)
    return None


def repository_of(data_root: Path) -> Repository:
    """The repository of a data root, with its history.

    Raises:
        VersionRefused: there is none, or it has no git.
    """
    _refuse_buckets(data_root)
    found = find_repository(data_root)
    if found is None:
        raise VersionRefused(
            f"{data_root}: nothing was versioned here yet. `alp init {data_root}` makes it a repository, and the "
            "next package that is onboarded is its first version."
        )
    if not found.git.is_repository():
        raise VersionRefused(
            f"{found.root}: DVC is here, but no git, which keeps the history. `alp init {data_root}` adds it."
        )
    return found


def make_repository(data_root: Path, remote: str = "") -> Repository:
    """The repository of a data root, made where there is none; ``remote`` becomes its default remote.

    Inside a project that has a repository that one is used, and nothing is made or committed. Who makes one at the
    same time, or versions, is waited for.

    Raises:
        VersionRefused: the remote is of a kind that is not installed, lies in the data root, or cannot be reached.
        SnapshotFailed: others version for too long.
    """
    found = _repository_for(data_root)
    if remote:
        remote = _usable_remote(found, remote)
    if found.own and (remote or not _is_whole(found)):
        _make_folder(found.root)
        with Queue(found.data_root).lock(VersionParams().wait_s):
            if remote or not _is_whole(found):
                _set_up(found, remote)
    return found


def repository_to_write(data_root: Path) -> Repository:
    """The same without a remote, for who holds the lock of the data root's queue."""
    found = _repository_for(data_root)
    if found.own and not _is_whole(found):
        _set_up(found, "")
    return found


def _repository_for(data_root: Path) -> Repository:
    """The repository that a data root lies in, else that which it becomes."""
    _refuse_buckets(data_root)
    found = find_repository(data_root) or Repository(data_root.resolve(), data_root.resolve())
    if not found.own and not (found.root / ".dvc" / "config").is_file():
        raise VersionRefused(
            f"{found.root}: is a git repository that ALP did not make. Run `dvc init` there and commit "
            "versions yourself, or choose another data root."
        )
    return found


def default_data_root(data_root: Path) -> bool:
    """Whether this is the data root that ``dvc.yaml`` of the checkout works in."""
    return data_root.resolve() == PROJECT / "data"


def _refuse_buckets(data_root: Path) -> None:
    if url := object_url(data_root):
        raise VersionRefused(
            f"{url}: git and DVC need a data root on a disk. The bucket's own versioning is the history here: "
            "switch it on there, and look at and bring back objects with the bucket's own tools."
        )


def _is_whole(repository: Repository) -> bool:
    """Whether the repository is set up; one whose making was interrupted is not."""
    made = repository.git.is_repository() and (repository.root / ".dvc" / "config").is_file()
    return made and repository.git.asked("rev-parse", "--verify", "--quiet", "HEAD") is not None


def _make_folder(root: Path) -> None:
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise VersionRefused(f"{root}: cannot be made ({error.strerror}). Choose another place.") from error


def _set_up(repository: Repository, remote: str) -> None:
    root, git = repository.root, repository.git
    for name, text in ((".gitignore", _IGNORED), (".dvcignore", _UNFINISHED)):
        before = (root / name).read_text(encoding="utf-8") if (root / name).is_file() else ""
        if not before.startswith(text):
            write_bytes(root / name, (text + before).encode())
    if not git.is_repository():
        git("init", "--quiet", "--initial-branch=main")
    write_bytes(root / ".dvc" / ".gitignore", _DVC_IGNORED.encode())
    _configure(root, remote)
    if not (root / PARAMS).is_file() and not repository.data_root.joinpath("packages").exists():
        write_bytes(root / PARAMS, _PARAMS.encode())
    kept = [".gitignore", ".dvcignore", ".dvc/.gitignore", ".dvc/config", PARAMS]
    words = f"Versions are stored in {remote}" if remote else "Versions of packages and models begin"
    git.committed([name for name in kept if (root / name).is_file()], words)


def _configure(root: Path, remote: str) -> None:
    """Set DVC up. DVC itself would write its configuration over the old one, and only in ASCII."""
    from configobj import ConfigObj, ConfigObjError  # type: ignore[import-untyped]

    path = root / ".dvc" / "config"
    try:
        lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
        config = ConfigObj(lines, encoding="utf-8", interpolation=False, indent_type=_INDENT)
    except (ConfigObjError, UnicodeDecodeError) as error:
        raise VersionRefused(
            f"{path}: is no configuration of DVC any more ({error}). `git checkout .dvc/config` in {root} brings "
            "it back."
        ) from error
    core, cache = config.setdefault("core", {}), config.setdefault("cache", {})
    core.pop("no_scm", None)  # a repository that was made without git gets one
    core.update({"analytics": False, "check_update": False})
    if "type" not in cache:
        cache["type"] = list(_links(root))
    if remote:
        config[f'remote "{REMOTE}"'] = _settings(remote)
        core["remote"] = REMOTE
    written = io.BytesIO()
    config.write(written)
    write_bytes(path, written.getvalue())


def _links(root: Path) -> tuple[str, ...]:
    """Links that the file system knows. DVC takes a copy for as good as a reflink, and would store all twice."""
    with quiet():
        from dvc.fs import localfs
        from dvc.repo import Repo
        from dvc_objects.fs.generic import test_links

        with Repo(str(root), config={"core": {"no_scm": True}}) as repo:  # its git refuses folders of other users
            cache = repo.cache.local.path
            knows = test_links(["reflink"], localfs, cache, localfs, str(root / "packages"))
    return _LINKS if knows else _LINKS[1:]


def _usable_remote(repository: Repository, remote: str) -> str:
    """The remote as it is kept, when the repository may have it and it can be reached."""
    if not repository.own:
        raise VersionRefused(
            f"{repository.data_root}: lies in the repository {repository.root}, whose remotes are its developers' "
            "business: `dvc remote add --default`."
        )
    if "://" in remote and urlsplit(remote).password is not None:
        raise VersionRefused(
            "The remote's address holds a password, and git would keep it in its history. Leave it out, "
            f"and then give it with `dvc remote modify --local {REMOTE} password ...` in the data root."
        )
    if not _is_utf8(remote):
        raise VersionRefused(f"{remote!a}: the remote's name is not UTF-8. Give the folder another name.")
    remote = remote.removeprefix("file://")
    if "://" not in remote:
        place = Path(remote).expanduser().resolve()
        if place.is_relative_to(repository.root):
            raise VersionRefused(
                f"{place}: lies in the data root {repository.root}, and would be lost with it. Name a folder "
                "elsewhere, best on another disk."
            )
        remote = str(place)
    _check_remote(remote)
    return remote


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _check_remote(url: str) -> None:
    kind, separator, _ = url.partition("://")
    if separator and kind in _EXTRAS:
        module, how = _EXTRAS[kind]
        if importlib.util.find_spec(module) is None:
            raise VersionRefused(f"{url}: remotes of this kind need another package; {how}.")
    try:
        with quiet():
            _reach(url)
    except Exception as error:  # every kind of remote raises errors of its own
        raise VersionRefused(
            f"{url}: this remote cannot be reached ({error or type(error).__name__}). Check the address and what "
            "signs you in there, and try again."
        ) from error


def _settings(url: str) -> dict[str, str]:
    """A remote as DVC's configuration has it; another S3 than Amazon's is where data roots in buckets are."""
    endpoint = os.environ.get(_ENDPOINT) if url.startswith("s3://") else None
    return {"url": url, "endpointurl": endpoint} if endpoint else {"url": url}


def _reach(url: str) -> None:
    """Look at a remote as DVC will; a local folder is made."""
    from dvc.fs import get_cloud_fs

    cls, settings, path = get_cloud_fs({}, **_settings(url))
    fs = cls(**settings)
    if fs.protocol == "local":
        Path(path).mkdir(parents=True, exist_ok=True)
        if not os.access(path, os.W_OK):
            raise PermissionError("it cannot be written to")
    elif fs.protocol == "s3":
        bucket = path.partition("/")[0]
        if not fs.exists(bucket):
            raise FileNotFoundError(f"there is no bucket {bucket}, or these credentials may not see it")
    else:
        fs.exists(path)
