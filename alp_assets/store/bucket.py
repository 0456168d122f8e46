"""A bucket that speaks S3, through s3fs: whole objects, several at once, and writes under conditions."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from alp_assets.errors import StoreFailed

T = TypeVar("T")

_SMALL_BYTES = 8 * 2**20
_SMALL_AT_ONCE = 32
_LARGE_AT_ONCE = 2
_DELETED_AT_ONCE = 1000
_PRECONDITION = ("PreconditionFailed", "ConditionalRequestConflict", "412", "409")
_NO_ETAG = f'"{"0" * 32}"'
"""An ETag that no object has."""


@dataclass(frozen=True)
class Held:
    """An object as it was read. ``age_s`` is by the server's clock."""

    data: bytes
    etag: str
    age_s: float


@dataclass(frozen=True)
class Listed:
    """What is told of an object: its size in bytes, when it was written (ns since 1970), and its ETag."""

    bytes: int
    modified_ns: int
    etag: str


class Bucket:
    """The objects below ``s3://bucket/prefix``; keys are relative to it.

    Credentials come from the environment as AWS has it. ``ALP_S3_ENDPOINT`` names another server than Amazon's.

    Raises:
        StoreFailed: s3fs is not installed; and whatever goes wrong later.
    """

    def __init__(self, url: str) -> None:
        try:
            import s3fs
        except ModuleNotFoundError as error:
            raise StoreFailed(
                f"{url}: a data root in a bucket needs {error.name}, which is not installed. Install ALP with its "
                "extra s3."
            ) from error
        self.url = url
        self._bucket, _, prefix = url.removeprefix("s3://").partition("/")
        self._prefix = f"{prefix}/" if prefix else ""
        self._fs = s3fs.S3FileSystem(
            endpoint_url=os.environ.get("ALP_S3_ENDPOINT") or None, use_listings_cache=False
        )

    def read(self, key: str) -> Held | None:
        """An object, or None where there is none."""
        try:
            answer = self._asked("get_object", key)
        except FileNotFoundError:
            return None
        data = self._told(key, lambda: self._body(answer))
        return Held(data, str(answer["ETag"]), _age_s(answer))

    def about(self, key: str) -> Listed | None:
        """What is told of an object, or None where there is none."""
        try:
            answer = self._asked("head_object", key)
        except FileNotFoundError:
            return None
        return Listed(int(answer["ContentLength"]), _ns(answer["LastModified"]), answer["ETag"])

    def write(self, key: str, data: bytes, *, only_new: bool = False, over: str | None = None) -> str | None:
        """Write an object, if asked only where there is none or ``over`` the one with that ETag.

        Returns the ETag that it has, or None when the condition does not hold.
        """
        condition = {"IfNoneMatch": "*"} if only_new else {"IfMatch": over} if over is not None else {}
        try:
            return str(self._asked("put_object", key, Body=data, **condition)["ETag"])
        except OSError as error:
            if condition and (isinstance(error, FileNotFoundError) or _code(error) in _PRECONDITION):
                return None
            raise self._failed(key, error) from error

    @cached_property
    def conditions_ignored(self) -> list[str]:
        """The conditions on PUT that the server does not keep; one that ignores any cannot hold locks."""
        key = f"locks/.{secrets.token_hex(8)}"
        try:
            first = self.write(key, b"", only_new=True)
            kept = {
                "If-None-Match": first is not None and self.write(key, b"", only_new=True) is None,
                "If-Match": self.write(key, b"", over=_NO_ETAG) is None,
            }
        finally:
            self.delete([key])
        return [name for name, held in kept.items() if not held]

    def upload(self, files: Mapping[str, Path]) -> None:
        """Copy files to keys, several at once."""
        for keys, at_once in _by_size({key: path.stat().st_size for key, path in files.items()}):
            local, remote = [str(files[key]) for key in keys], [self._path(key) for key in keys]
            self._told(keys[0], lambda: self._fs.put(local, remote, batch_size=at_once))  # noqa: B023

    def upload_new(self, key: str, path: Path) -> bool:
        """Copy a file to a key where there is no object; whether there was none."""
        try:
            self._fs.put_file(str(path), self._path(key), mode="create")
        except OSError as error:
            if isinstance(error, FileExistsError) or _code(error) in _PRECONDITION:
                return False
            raise self._failed(key, error) from error
        return True

    def download(self, files: Mapping[str, tuple[Path, int]]) -> None:
        """Copy keys, with the sizes that they should have, to files; ``FileNotFoundError`` when one is gone."""
        for keys, at_once in _by_size({key: size for key, (_, size) in files.items()}):
            local, remote = [str(files[key][0]) for key in keys], [self._path(key) for key in keys]
            self._told(keys[0], lambda: self._fs.get(remote, local, batch_size=at_once))  # noqa: B023

    def listed(self, below: str) -> dict[str, Listed]:
        """All objects below a folder by their key."""
        found = {}
        for page in self._pages(Prefix=f"{self._prefix}{below}/"):
            for item in page.get("Contents", ()):
                key = item["Key"].removeprefix(self._prefix)
                found[key] = Listed(int(item["Size"]), _ns(item["LastModified"]), item["ETag"])
        return found

    def folders(self, below: str) -> list[str]:
        """The names of the folders in a folder, sorted."""
        top = f"{self._prefix}{below}/"
        pages = self._pages(Prefix=top, Delimiter="/")
        found = [item["Prefix"] for page in pages for item in page.get("CommonPrefixes", ())]
        return sorted(name.removeprefix(top).rstrip("/") for name in found)

    def delete(self, keys: Sequence[str]) -> None:
        """Delete objects; those that are not there are none."""
        for start in range(0, len(keys), _DELETED_AT_ONCE):
            objects = [{"Key": self._prefix + key} for key in keys[start : start + _DELETED_AT_ONCE]]
            told = {"Objects": objects, "Quiet": True}
            answer = self._told(
                keys[start],
                lambda: self._fs.call_s3("delete_objects", Bucket=self._bucket, Delete=told),  # noqa: B023
            )
            if refused := answer.get("Errors"):
                said = f"{refused[0].get('Code')}: it may not be deleted"
                raise self._failed(str(refused[0].get("Key", keys[start])), OSError(said))

    def lacks_versions(self) -> str:
        """Why what is replaced or deleted is gone for good, and what to do; empty where versions are kept."""
        try:
            answer = self._fs.call_s3("get_bucket_versioning", Bucket=self._bucket)
        except Exception as error:  # some servers know no versions, and some users may not ask
            return str(self._failed("its versioning (s3:GetBucketVersioning)", error))
        if answer.get("Status") == "Enabled":
            return ""
        return (
            f"{self.url}: the bucket keeps no versions of its objects. Switch them on: `aws s3api "
            f"put-bucket-versioning --bucket {self._bucket} --versioning-configuration Status=Enabled`."
        )

    def _asked(self, method: str, key: str, **more: Any) -> dict[str, Any]:
        try:
            answer: dict[str, Any] = self._fs.call_s3(method, Bucket=self._bucket, Key=self._prefix + key, **more)
        except FileNotFoundError as error:
            if _code(error) == "NoSuchBucket":
                raise self._failed(key, error) from error
            raise
        except OSError as error:
            if more.keys() & {"IfNoneMatch", "IfMatch"}:
                raise
            raise self._failed(key, error) from error
        except Exception as error:  # without credentials or a network botocore raises errors of many kinds
            raise self._failed(key, error) from error
        return answer

    def _body(self, answer: Mapping[str, Any]) -> bytes:
        import fsspec.asyn

        async def read() -> bytes:
            data: bytes = await answer["Body"].read()
            return data

        found: bytes = fsspec.asyn.sync(self._fs.loop, read)
        return found

    def _pages(self, **how: Any) -> Iterator[dict[str, Any]]:
        more: dict[str, Any] = {}
        while True:
            page = self._told(
                how["Prefix"],
                lambda: self._fs.call_s3("list_objects_v2", Bucket=self._bucket, **how, **more),  # noqa: B023
            )
            yield page
            if not page.get("IsTruncated"):
                return
            more = {"ContinuationToken": page["NextContinuationToken"]}

    def _told(self, key: str, work: Callable[[], T]) -> T:
        try:
            return work()
        except FileNotFoundError as error:
            if _code(error) == "NoSuchBucket":
                raise self._failed(key, error) from error
            raise
        except Exception as error:
            raise self._failed(key, error) from error

    def _failed(self, key: str, error: Exception) -> StoreFailed:
        said = " ".join(str(error).split()) or type(error).__name__
        return StoreFailed(
            f"{self.url}: {key.removeprefix(self._prefix)} cannot be read or written ({said}). Check the bucket, "
            "the credentials (AWS_ACCESS_KEY_ID and so on), and ALP_S3_ENDPOINT."
        )

    def _path(self, key: str) -> str:
        return f"{self._bucket}/{self._prefix}{key}"


def _by_size(sizes: Mapping[str, int]) -> Iterator[tuple[list[str], int]]:
    """Keys of small objects, many of which fit into memory at once, and those of large ones, few of which do."""
    small = [key for key, size in sizes.items() if size <= _SMALL_BYTES]
    large = [key for key, size in sizes.items() if size > _SMALL_BYTES]
    if small:
        yield small, _SMALL_AT_ONCE
    if large:
        yield large, _LARGE_AT_ONCE


def _code(error: BaseException) -> str:
    """The code of an S3 error, which s3fs wraps."""
    answer = getattr(error.__cause__, "response", None) or {}
    return str(answer.get("Error", {}).get("Code", ""))


def _age_s(answer: Mapping[str, Any]) -> float:
    now = answer["ResponseMetadata"]["HTTPHeaders"].get("date", "")
    written: datetime = answer["LastModified"]
    try:
        return max(0.0, (parsedate_to_datetime(now) - written).total_seconds())
    except (TypeError, ValueError):
        return 0.0


def _ns(moment: datetime) -> int:
    return round(moment.timestamp() * 1e6) * 1000
