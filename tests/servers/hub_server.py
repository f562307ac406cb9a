"""A Hugging Face Hub on 127.0.0.1, for tests: the part of its HTTP API that publishing and loading a data set needs.

The clients are the real ones, unmodified, in processes of their own with `HF_ENDPOINT` pointing here. What the server
keeps is in memory: repositories with branches, pull requests and a history of commits, and a store of large files that,
as on the Hub, has an address of its own (a second port) and wants no token. Tokens are checked, and a test can have any
request refused, cut, held up, or carried out without an answer (`HubServer.fault`).

    with HubServer() as hub:
        hub.url, hub.environment("writer")     # what a client needs
        hub.repo("alice/mnist_idx").files()    # what arrived
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import re
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from fnmatch import fnmatch
from types import TracebackType
from typing import Any, NamedTuple

import yaml
from aiohttp import web
from xet_store import XetStore

GITATTRIBUTES = "".join(f"{pattern} filter=lfs diff=lfs merge=lfs -text\n" for pattern in ("*.parquet", "*.png"))
LFS_PATTERNS = ("*.parquet", "*.png")
XET_TOKEN = "token-for-the-store"
REGULAR_LIMIT = 10 * 1024 * 1024
NAME = re.compile(r"(?!.*(--|\.\.))[A-Za-z0-9_][A-Za-z0-9._-]{0,95}(?<![-.])")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Token(NamedTuple):
    """Whose an access token is, and what it may do."""

    user: str
    role: str  # "write", "read" or "fineGrained"
    orgs: tuple[str, ...] = ()


class Blob(NamedTuple):
    """A file at a commit: its content, or the name of its content in the store of large files."""

    size: int
    oid: str  # as git names it
    content: bytes | None
    sha256: str | None

    @classmethod
    def regular(cls, content: bytes) -> Blob:
        return cls(len(content), git_oid(content), content, None)

    @classmethod
    def lfs(cls, sha256: str, size: int) -> Blob:
        pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n"
        return cls(size, git_oid(pointer.encode()), None, sha256)

    def describe(self, path: str) -> dict[str, Any]:
        found: dict[str, Any] = {"type": "file", "path": path, "size": self.size, "oid": self.oid}
        if self.sha256 is not None:
            found["lfs"] = {"oid": self.sha256, "size": self.size, "pointerSize": 134}
        return found


def git_oid(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


@dataclass(frozen=True)
class Commit:
    oid: str
    parent: str | None
    title: str
    message: str
    author: str
    date: str
    tree: dict[str, Blob]


@dataclass
class Fault:
    """What happens to the next `times` requests that match; `reached` is set when the first of them has come."""

    method: str
    path: re.Pattern[str]
    kind: str | int
    times: int
    headers: dict[str, str]
    reached: threading.Event = field(default_factory=threading.Event)
    release: threading.Event = field(default_factory=threading.Event)


@dataclass
class Repo:
    name: str
    private: bool
    store: dict[str, bytes]
    refs: dict[str, str] = field(default_factory=dict)
    commits: dict[str, Commit] = field(default_factory=dict)
    pulls: list[dict[str, Any]] = field(default_factory=list)

    @property
    def namespace(self) -> str:
        return self.name.split("/")[0]

    def resolve(self, revision: str) -> Commit | None:
        """The commit that a branch, a pull request or a commit's own name stands for."""
        for ref in (revision, f"refs/heads/{revision}"):
            if ref in self.refs:
                return self.commits[self.refs[ref]]
        return self.commits.get(revision)

    def commit(self, ref: str, tree: dict[str, Blob], title: str, message: str = "", author: str = "hub") -> Commit:
        parent = self.refs.get(ref)
        date = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime())
        listing = sorted((path, blob.oid) for path, blob in tree.items())
        identity = json.dumps([ref, parent, title, message, author, date, listing, time.monotonic_ns()])
        made = Commit(hashlib.sha1(identity.encode()).hexdigest(), parent, title, message, author, date, tree)
        self.commits[made.oid] = made
        self.refs[ref] = made.oid
        return made

    def history(self, revision: str = "main") -> list[Commit]:
        """Newest first."""
        found = []
        at = self.resolve(revision)
        while at is not None:
            found.append(at)
            at = self.commits[at.parent] if at.parent else None
        return found

    def files(self, revision: str = "main") -> dict[str, bytes]:
        """Every file at a revision with its content: what a visitor can download."""
        commit = self.resolve(revision)
        if commit is None:
            raise KeyError(f"{self.name} has no revision {revision!r}")
        return {path: self.read(blob) for path, blob in commit.tree.items()}

    def read(self, blob: Blob) -> bytes:
        if blob.content is not None:
            return blob.content
        assert blob.sha256 is not None
        return self.store[blob.sha256]


class Refusal(Exception):
    """An answer that is an error, in the Hub's form: a status, a code in a header, a sentence in the body."""

    def __init__(self, status: int, message: str, code: str | None = None) -> None:
        super().__init__(message)
        self.response = web.json_response({"error": message}, status=status)
        self.response.headers["X-Error-Message"] = message
        if code:
            self.response.headers["X-Error-Code"] = code


class HubServer:
    """The server, running in a thread between `__enter__` and `__exit__`."""

    def __init__(self, *, part_size: int | None = None, page_size: int = 1000) -> None:
        self.tokens = {
            "hf_writer": Token("alice", "write", ("team",)),
            "hf_reader": Token("alice", "read", ("team",)),
            "hf_stranger": Token("mallory", "write"),
        }
        self.organizations = {"team"}
        self.repos: dict[str, Repo] = {}
        self.store: dict[str, bytes] = {}
        self.xet = XetStore(self.store)
        self.parts: dict[str, dict[int, bytes]] = {}
        self.log: list[tuple[str, str, int]] = []
        self.faults: list[Fault] = []
        self.part_size = part_size
        self.page_size = page_size
        self.url = ""
        self.store_url = ""
        self._started = threading.Event()
        self._stop: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)

    # What a test does with it.

    def __enter__(self) -> HubServer:
        self._thread.start()
        if not self._started.wait(30):
            raise RuntimeError("the test Hub did not start within 30 seconds")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for fault in self.faults:
            fault.release.set()
        if self._loop is not None and self._stop is not None:
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(30)

    def environment(self, token: str | None = None, *, xet: bool = False) -> dict[str, str]:
        """The variables that lead a client here; `token` is one of `tokens`, without its `hf_`.

        A client sends large files by the Xet protocol if the package for it is installed, else, and without `xet`, by
        the older one, git LFS.
        """
        found = {"HF_ENDPOINT": self.url, "HF_HUB_DISABLE_XET": str(int(not xet)), "HF_HUB_DISABLE_TELEMETRY": "1"}
        if token is not None:
            found["HF_TOKEN"] = f"hf_{token}"
        return found

    def fault(self, method: str, path: str, kind: str | int, times: int = 1, **headers: str) -> Fault:
        """Have the next `times` requests go wrong whose method is `method` and whose path contains the pattern `path`.

        `kind` is a status to answer with, or "cut" (the connection breaks while the request is read), "lost" (carried
        out, but the connection breaks before the answer), or "hold" (waits until `release` of the result is set).
        Keywords become headers of the answer, `Retry_After="0"` for example.
        """
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        made = Fault(method, re.compile(path), kind, times, named)
        self.faults.append(made)
        return made

    def create(self, name: str, *, private: bool = False) -> Repo:
        """A new repository, as it is before anything is uploaded."""
        repo = self.repos[name] = Repo(name, private, self.store)
        repo.commit("refs/heads/main", {".gitattributes": Blob.regular(GITATTRIBUTES.encode())}, "initial commit")
        return repo

    def repo(self, name: str) -> Repo:
        return self.repos[name]

    def requests(self, method: str, path: str) -> int:
        """How many requests have come whose method is `method` and whose path contains the pattern `path`."""
        return sum(1 for found, at, _ in self.log if found == method and re.search(path, at))

    # How it runs.

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        runners = []
        for routes in (self._hub_routes(), self._store_routes()):
            app = web.Application(middlewares=[self._middleware], client_max_size=1 << 30)
            app.add_routes(routes)
            runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            runners.append(runner)
        self.url, self.store_url = (f"http://127.0.0.1:{runner.addresses[0][1]}" for runner in runners)
        self._started.set()
        await self._stop.wait()
        for runner in runners:
            await runner.cleanup()

    def _hub_routes(self) -> list[web.RouteDef]:
        repo = "/api/datasets/{namespace}/{name}"
        files = "/datasets/{namespace}/{name}"
        return [
            web.get("/api/whoami-v2", self.whoami),
            web.post("/api/repos/create", self.create_repo),
            web.post("/api/validate-yaml", self.validate_yaml),
            web.get(repo, self.info),
            web.get(repo + "/revision/{revision}", self.info),
            web.get(repo + "/refs", self.refs),
            web.get(repo + "/commits/{revision}", self.commits),
            web.get(repo + "/tree/{revision}", self.tree),
            web.get(repo + "/tree/{revision}/{path:.*}", self.tree),
            web.post(repo + "/paths-info/{revision}", self.paths_info),
            web.post(repo + "/branch/{revision}", self.create_branch),
            web.post(repo + "/preupload/{revision}", self.preupload),
            web.get(repo + "/xet-write-token/{revision}", self.xet_token),
            web.post(repo + "/commit/{revision}", self.make_commit),
            web.post(files + ".git/info/lfs/objects/batch", self.lfs_batch),
            web.post(files + ".git/info/lfs/objects/verify", self.lfs_verify),
            web.get(files + "/resolve/{revision}/{path:.*}", self.resolve),
        ]

    def _store_routes(self) -> list[web.RouteDef]:
        return [
            web.put("/upload/{sha256}", self.store_put),
            web.put("/upload/{sha256}/{part}", self.store_put),
            web.post("/complete/{sha256}", self.store_complete),
            web.get("/file/{sha256}", self.store_get),
            web.post("/v1/xorbs/default/{name}", self.xet_put),
            web.post("/v1/shards", self.xet_put),
        ]

    @web.middleware
    async def _middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        fault = next((f for f in self.faults if self._strikes(f, request)), None)
        if fault is not None:
            fault.times -= 1
            fault.reached.set()
            if isinstance(fault.kind, int):
                await request.read()
                return self._logged(request, web.json_response({"error": "fault"}, status=fault.kind), fault.headers)
            if fault.kind == "cut":
                await request.content.read(1)
                self._cut(request)
            while fault.kind == "hold" and not fault.release.is_set():
                await asyncio.sleep(0.01)
        try:
            response = await handler(request)
        except Refusal as refusal:
            response = refusal.response
        except ConnectionResetError:  # the client has gone: nobody to answer
            raise asyncio.CancelledError from None
        except web.HTTPException as error:
            response = web.json_response({"error": error.reason}, status=error.status)
        if fault is not None and fault.kind == "lost":
            self._cut(request)
        return self._logged(request, response, {})

    @staticmethod
    def _strikes(fault: Fault, request: web.Request) -> bool:
        return fault.times > 0 and fault.method == request.method and bool(fault.path.search(request.rel_url.raw_path))

    def _logged(
        self, request: web.Request, response: web.StreamResponse, headers: dict[str, str]
    ) -> web.StreamResponse:
        self.log.append((request.method, request.rel_url.raw_path, response.status))
        response.headers.update(headers)
        return response

    def _cut(self, request: web.Request) -> None:
        self.log.append((request.method, request.rel_url.raw_path, 0))
        if request.transport is not None:
            request.transport.abort()
        raise asyncio.CancelledError

    # Who asks, and for what.

    def _token(self, request: web.Request) -> Token | None:
        header = request.headers.get("Authorization")
        if header is None:
            return None
        token = self.tokens.get(header.removeprefix("Bearer "))
        if token is None:
            raise Refusal(401, "Invalid credentials in Authorization header")
        return token

    def _repo(self, request: web.Request, *, write: bool = False) -> Repo:
        token = self._token(request)
        name = f"{request.match_info['namespace']}/{request.match_info['name']}"
        repo = self.repos.get(name)
        member = token is not None and repo is not None and repo.namespace in (token.user, *token.orgs)
        if repo is None or (repo.private and not member):
            # As on the Hub: a stranger cannot tell a private repository from a missing one.
            status = 404 if token is not None else 401
            raise Refusal(status, "Repository not found", "RepoNotFound")
        if write and (token is None or not member or token.role == "read"):
            status = 401 if token is None else 403
            raise Refusal(status, "You don't have the required permissions to perform this action")
        return repo

    def _commit(self, request: web.Request, repo: Repo) -> Commit:
        revision = request.match_info.get("revision", "main")
        commit = repo.resolve(revision)
        if commit is None:
            raise Refusal(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return commit

    async def whoami(self, request: web.Request) -> web.Response:
        token = self._token(request)
        if token is None:
            raise Refusal(401, "Invalid username or password.")
        orgs = [{"type": "org", "name": name, "fullname": name, "roleInOrg": "write"} for name in token.orgs]
        auth = {"type": "access_token", "accessToken": {"displayName": "test", "role": token.role}}
        return web.json_response(
            {"type": "user", "id": "1", "name": token.user, "fullname": token.user, "orgs": orgs, "auth": auth}
        )

    # Repositories.

    async def create_repo(self, request: web.Request) -> web.Response:
        token = self._token(request)
        if token is None:
            raise Refusal(401, "Invalid username or password.")
        asked = await request.json()
        if asked.get("type") != "dataset":
            raise Refusal(400, "This server keeps data sets only")
        namespace = asked.get("organization") or token.user
        if not NAME.fullmatch(asked["name"]):
            raise Refusal(400, f"Invalid repo name: {asked['name']}")
        if token.role == "read" or namespace not in (token.user, *token.orgs):
            raise Refusal(403, f'You don\'t have the rights to create a dataset under the namespace "{namespace}"')
        name = f"{namespace}/{asked['name']}"
        url = f"{self.url}/datasets/{name}"
        if name in self.repos:
            return web.json_response({"error": "You already created this dataset repo", "url": url}, status=409)
        self.create(name, private=asked.get("visibility") == "private" or asked.get("private") is True)
        return web.json_response({"url": url, "name": name, "id": "1"})

    async def validate_yaml(self, request: web.Request) -> web.Response:
        content = (await request.json())["content"]
        errors = []
        try:
            metadata = yaml.safe_load(content.split("---\n")[1]) if content.startswith("---\n") else None
            if not isinstance(metadata, dict):
                errors.append("the README has no metadata block")
            else:
                defaults = [config for config in metadata.get("configs", []) if config.get("default")]
                if len(defaults) > 1:
                    errors.append("more than one default config")
        except yaml.YAMLError as error:
            errors.append(str(error))
        answer = {"errors": [{"message": message} for message in errors], "warnings": []}
        return web.json_response(answer, status=400 if errors else 200)

    async def info(self, request: web.Request) -> web.Response:
        repo = self._repo(request)
        commit = self._commit(request, repo)
        return web.json_response(
            {
                "_id": "1",
                "id": repo.name,
                "author": repo.namespace,
                "sha": commit.oid,
                "lastModified": commit.date,
                "createdAt": commit.date,
                "private": repo.private,
                "gated": False,
                "disabled": False,
                "downloads": 0,
                "likes": 0,
                "tags": [],
                "siblings": [{"rfilename": path} for path in sorted(commit.tree)],
            }
        )

    async def refs(self, request: web.Request) -> web.Response:
        repo = self._repo(request)
        found: dict[str, list[dict[str, str]]] = {"branches": [], "converts": [], "tags": [], "pullRequests": []}
        for ref, oid in repo.refs.items():
            kind = "branches" if ref.startswith("refs/heads/") else "pullRequests"
            found[kind].append({"name": ref.removeprefix("refs/heads/"), "ref": ref, "targetCommit": oid})
        return web.json_response(found)

    async def commits(self, request: web.Request) -> web.Response:
        repo = self._repo(request)
        self._commit(request, repo)
        found = [
            {
                "id": commit.oid,
                "title": commit.title,
                "message": commit.message,
                "date": commit.date,
                "authors": [{"user": commit.author}],
            }
            for commit in repo.history(request.match_info["revision"])
        ]
        return web.json_response(found)

    async def create_branch(self, request: web.Request) -> web.Response:
        repo = self._repo(request, write=True)
        ref = f"refs/heads/{request.match_info['revision']}"
        if ref in repo.refs:
            raise Refusal(409, f"Reference already exists: {ref}")
        start = repo.resolve((await request.json()).get("startingPoint") or "main")
        if start is None:
            raise Refusal(404, "Invalid rev id", "RevisionNotFound")
        repo.refs[ref] = start.oid
        return web.json_response({})

    # What is in them.

    async def tree(self, request: web.Request) -> web.Response:
        commit = self._commit(request, self._repo(request))
        folder = request.match_info.get("path", "").rstrip("/")
        prefix = folder + "/" if folder else ""
        recursive = request.query.get("recursive", "").lower() in ("1", "true")
        inside = {path: blob for path, blob in commit.tree.items() if path.startswith(prefix)}
        if folder and not inside:
            raise Refusal(404, f"{folder} does not exist", "EntryNotFound")
        entries: dict[str, dict[str, Any]] = {}
        for path, blob in sorted(inside.items()):
            steps = path.removeprefix(prefix).split("/")
            for depth in range(1, len(steps)):
                at = prefix + "/".join(steps[:depth])
                entries.setdefault(at, {"type": "directory", "path": at, "size": 0, "oid": git_oid(at.encode())})
            entries[path] = blob.describe(path)
        found = [e for at, e in entries.items() if recursive or "/" not in at.removeprefix(prefix)]
        return self._page(request, found)

    def _page(self, request: web.Request, found: list[dict[str, Any]]) -> web.Response:
        start = int(request.query.get("cursor", 0))
        response = web.json_response(found[start : start + self.page_size])
        if start + self.page_size < len(found):
            following = request.url.update_query(cursor=str(start + self.page_size))
            response.headers["Link"] = f'<{following}>; rel="next"'
        return response

    async def paths_info(self, request: web.Request) -> web.Response:
        commit = self._commit(request, self._repo(request))
        if request.content_type == "application/json":
            asked = (await request.json())["paths"]
        else:
            asked = (await request.post()).getall("paths", [])
        found = []
        for path in map(str, asked):
            if path in commit.tree:
                found.append(commit.tree[path].describe(path))
            elif any(at.startswith(path.rstrip("/") + "/") for at in commit.tree):
                found.append({"type": "directory", "path": path, "size": 0, "oid": git_oid(path.encode())})
        return web.json_response(found)

    async def resolve(self, request: web.Request) -> web.StreamResponse:
        repo = self._repo(request)
        commit = self._commit(request, repo)
        blob = commit.tree.get(request.match_info["path"])
        headers = {"X-Repo-Commit": commit.oid, "Accept-Ranges": "bytes"}
        if blob is None:
            refusal = Refusal(404, "Entry not found", "EntryNotFound")
            refusal.response.headers.update(headers)
            raise refusal
        if blob.sha256 is not None:
            headers |= {"X-Linked-Etag": f'"{blob.sha256}"', "X-Linked-Size": str(blob.size)}
            return web.Response(
                status=302, headers={**headers, "Location": f"{self.store_url}/file/{blob.sha256}?signed=yes"}
            )
        return self._ranged(request, repo.read(blob), {**headers, "ETag": f'"{blob.oid}"'})

    @staticmethod
    def _ranged(request: web.Request, content: bytes, headers: dict[str, str]) -> web.Response:
        try:
            start, stop, _ = request.http_range.indices(len(content))
        except ValueError:
            raise Refusal(416, "Range not satisfiable") from None
        if "Range" not in request.headers:
            return web.Response(body=content, headers=headers)
        if start >= len(content):
            raise Refusal(416, "Range not satisfiable")
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{len(content)}"
        return web.Response(status=206, body=content[start:stop], headers=headers)

    # Uploads.

    async def preupload(self, request: web.Request) -> web.Response:
        # A pull request may come from anybody who can read; a commit to a branch takes the right to write.
        repo = self._repo(request, write=request.query.get("create_pr") != "1")
        tree = self._commit(request, repo).tree
        found = []
        for asked in (await request.json())["files"]:
            path, size = asked["path"], asked["size"]
            large = size > REGULAR_LIMIT or any(fnmatch(path, pattern) for pattern in LFS_PATTERNS)
            blob = tree.get(path)
            known = None if blob is None else blob.sha256 or blob.oid
            mode = "lfs" if large else "regular"
            found.append({"path": path, "uploadMode": mode, "shouldIgnore": False, "oid": known})
        return web.json_response({"files": found})

    async def lfs_batch(self, request: web.Request) -> web.Response:
        repo = self._repo(request)
        if self._token(request) is None:
            raise Refusal(401, "Invalid username or password.")
        asked = await request.json()
        if asked["operation"] != "upload" or "basic" not in asked["transfers"]:
            raise Refusal(400, "only uploads by the basic or multipart transfer")
        multipart = self.part_size is not None and "multipart" in asked["transfers"]
        objects = []
        for item in asked["objects"]:
            oid, size = item["oid"], item["size"]
            answer: dict[str, Any] = {"oid": oid, "size": size}
            if oid not in self.store:
                upload: dict[str, Any] = {"href": f"{self.store_url}/upload/{oid}"}
                if multipart and self.part_size is not None and size > self.part_size:
                    count = -(-size // self.part_size)
                    parts = {str(n): f"{self.store_url}/upload/{oid}/{n}" for n in range(1, count + 1)}
                    upload = {
                        "href": f"{self.store_url}/complete/{oid}",
                        "header": {"chunk_size": str(self.part_size), **parts},
                    }
                verify = {"href": f"{self.url}/datasets/{repo.name}.git/info/lfs/objects/verify"}
                answer["actions"] = {"upload": upload, "verify": verify}
            objects.append(answer)
        chosen = "multipart" if multipart else "basic"
        return web.json_response({"transfer": chosen, "objects": objects})

    async def lfs_verify(self, request: web.Request) -> web.Response:
        self._repo(request)
        asked = await request.json()
        if len(self.store.get(asked["oid"], b"")) != asked["size"]:
            raise Refusal(404, "Object not found")
        return web.json_response({})

    async def store_put(self, request: web.Request) -> web.Response:
        content = await request.read()
        sha256 = request.match_info["sha256"]
        if "part" in request.match_info:
            part = int(request.match_info["part"])
            self.parts.setdefault(sha256, {})[part] = content
            return web.Response(headers={"ETag": f'"{hashlib.md5(content).hexdigest()}"'})
        return self._keep(sha256, content)

    async def store_complete(self, request: web.Request) -> web.Response:
        sha256 = request.match_info["sha256"]
        asked = await request.json()
        parts = self.parts.pop(sha256, {})
        tags = [f'"{hashlib.md5(parts[number]).hexdigest()}"' for number in sorted(parts)]
        if [part["etag"] for part in asked["parts"]] != tags:
            raise Refusal(400, "the parts are not the ones that were uploaded")
        return self._keep(sha256, b"".join(parts[number] for number in sorted(parts)))

    def _keep(self, sha256: str, content: bytes) -> web.Response:
        if hashlib.sha256(content).hexdigest() != sha256:
            raise Refusal(400, "the content is not what its name says")
        self.store[sha256] = content
        return web.Response()

    async def xet_token(self, request: web.Request) -> web.Response:
        self._repo(request, write=request.query.get("create_pr") != "1")
        expires = int(time.time()) + 3600
        answer = {"casUrl": self.store_url, "accessToken": XET_TOKEN, "exp": expires}
        names = {
            "X-Xet-Cas-Url": self.store_url,
            "X-Xet-Access-Token": XET_TOKEN,
            "X-Xet-Token-Expiration": str(expires),
        }
        return web.json_response(answer, headers=names)

    async def xet_put(self, request: web.Request) -> web.Response:
        if request.headers.get("Authorization") != f"Bearer {XET_TOKEN}":
            raise Refusal(401, "no access to the store of large files")
        content = await request.read()
        if "name" in request.match_info:
            self.xet.put_xorb(request.match_info["name"], content)
        else:
            self.xet.put_shard(content)
        return web.json_response({"was_inserted": True, "result": 1})

    async def store_get(self, request: web.Request) -> web.StreamResponse:
        if "Authorization" in request.headers:
            raise Refusal(400, "only one authentication mechanism allowed: a signed address takes no token")
        content = self.store.get(request.match_info["sha256"])
        if content is None:
            raise Refusal(404, "no such object")
        return self._ranged(request, content, {"ETag": f'"{request.match_info["sha256"]}"', "Accept-Ranges": "bytes"})

    async def make_commit(self, request: web.Request) -> web.Response:
        pull = request.query.get("create_pr") == "1"
        repo = self._repo(request, write=not pull)
        token = self._token(request)
        if token is None or token.role == "read":
            raise Refusal(401 if token is None else 403, "You don't have the rights to commit here")
        head = self._commit(request, repo)
        header: dict[str, Any] = {}
        tree = dict(head.tree)
        for line in (await request.read()).splitlines():
            item = json.loads(line)
            value = item["value"]
            if item["key"] == "header":
                header = value
            else:
                self._apply(tree, item["key"], value)
        if header.get("parentCommit") not in (None, head.oid):
            raise Refusal(412, "A commit has happened since. Please refresh and try again.")
        revision = request.match_info["revision"]
        ref = revision if revision.startswith("refs/") else f"refs/heads/{revision}"
        answer: dict[str, Any] = {"success": True}
        if pull:
            number = len(repo.pulls) + 1
            ref = f"refs/pr/{number}"
            repo.refs[ref] = head.oid
            repo.pulls.append({"num": number, "title": header["summary"], "description": header["description"]})
            answer["pullRequestUrl"] = f"{self.url}/datasets/{repo.name}/discussions/{number}"
        elif ref not in repo.refs:
            raise Refusal(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        made = repo.commit(ref, tree, header["summary"], header["description"], token.user)
        answer |= {"commitOid": made.oid, "commitUrl": f"{self.url}/datasets/{repo.name}/commit/{made.oid}"}
        return web.json_response(answer)

    def _apply(self, tree: dict[str, Blob], key: str, value: dict[str, Any]) -> None:
        path = value["path"]
        if key == "file":
            tree[path] = Blob.regular(base64.b64decode(value["content"]))
        elif key == "lfsFile":
            if len(self.store.get(value["oid"], b"")) != value["size"]:
                raise Refusal(400, f"LFS pointer pointed to a file that does not exist: {path}")
            tree[path] = Blob.lfs(value["oid"], value["size"])
        elif key == "deletedFile":
            if tree.pop(path, None) is None:
                raise Refusal(404, "A file with this name doesn't exist", "EntryNotFound")
        elif key == "deletedFolder":
            for inside in [at for at in tree if at.startswith(path.rstrip("/") + "/")]:
                del tree[inside]
        else:
            raise Refusal(400, f"unknown operation {key}")


def main() -> None:
    """Serve until interrupted, for trying a client by hand."""
    with HubServer() as hub, suppress(KeyboardInterrupt):
        for name, value in hub.environment("writer").items():
            print(f"export {name}={value}", flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
