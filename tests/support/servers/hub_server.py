"""A Hugging Face Hub on 127.0.0.1: the part of its HTTP API that publishing and loading a dataset
needs.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import secrets
import threading
import time
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from aiohttp import web

LARGE = (".parquet", ".png")  # files that go to the store
# Token -> whose it is, and the namespaces that it may write to.
TOKENS = {"hf_writer": ("alice", {"alice", "team"}), "hf_stranger": ("mallory", {"mallory"})}


class Refusal(web.HTTPException):
    """An error in the Hub's form."""

    def __init__(self, status: int, message: str, code: str = "") -> None:
        self.status_code = status
        headers = {"X-Error-Message": message, "X-Error-Code": code}
        super().__init__(
            headers=headers, text=json.dumps({"error": message}), content_type="application/json"
        )


class Commit(NamedTuple):
    oid: str
    title: str
    message: str
    files: dict[str, bytes]


@dataclass
class Repo:
    name: str
    private: bool
    refs: dict[str, tuple[Commit, ...]] = field(
        default_factory=dict
    )  # branches and pull requests, newest commit first

    def commit(self, ref: str, files: dict[str, bytes], title: str, message: str = "") -> Commit:
        made = Commit(secrets.token_hex(20), title, message, files)
        self.refs[ref] = (made, *self.refs.get(ref, ()))
        return made

    def history(self, revision: str = "main") -> tuple[Commit, ...]:
        """The commits up to a branch, a pull request or a commit's own name, newest first."""
        found = {
            c.oid: commits[n:] for commits in self.refs.values() for n, c in enumerate(commits)
        }
        return (found | self.refs)[revision]

    def files(self, revision: str = "main") -> dict[str, bytes]:
        return self.history(revision)[0].files


@dataclass
class Fault:
    method: str
    path: str
    kind: str | int
    times: int
    reached: threading.Event = field(
        default_factory=threading.Event
    )  # set when the first such request has come
    release: threading.Event = field(default_factory=threading.Event)


def describe(path: str, content: bytes) -> dict[str, Any]:
    """What listings tell about a file."""
    oid = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
    found: dict[str, Any] = {"type": "file", "path": path, "size": len(content), "oid": oid}
    if path.endswith(LARGE):
        found["lfs"] = {
            "oid": hashlib.sha256(content).hexdigest(),
            "size": len(content),
            "pointerSize": 134,
        }
    return found


def list_all(files: dict[str, bytes]) -> dict[PurePosixPath, dict[str, Any]]:
    folders = sorted({folder for path in files for folder in PurePosixPath(path).parents[:-1]})
    found = {
        folder: {"type": "directory", "path": str(folder), "size": 0, "oid": ""}
        for folder in folders
    }
    return found | {PurePosixPath(path): describe(path, content) for path, content in files.items()}


class HubServer:
    """Repositories, and a store of large files.

    What arrives by Xet is not put together: it has to be in the store.
    """

    def __init__(self) -> None:
        self.repos: dict[str, Repo] = {}
        self.store: dict[str, bytes] = {}  # SHA-256 -> content
        self.log: list[tuple[str, str]] = []  # method and path of each request
        self.faults: list[Fault] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> HubServer:
        self._loop.run_until_complete(self._start())
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        for fault in self.faults:
            fault.release.set()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.run_until_complete(self._runner.cleanup())
        self._loop.close()

    def environment(self, token: str | None = None, *, xet: bool = False) -> dict[str, str]:
        """The variables that lead a client here, which sends large files by Xet or the older git
        LFS.
        """
        found = {"HF_ENDPOINT": self.url, "HF_HUB_DISABLE_XET": str(int(not xet))}
        return found if token is None else {**found, "HF_TOKEN": f"hf_{token}"}

    def fault(self, method: str, path: str, kind: str | int, times: int = 1) -> Fault:
        """Have the next `times` requests go wrong whose path contains `path`.

        `kind` is a status to answer with, or "cut" (the connection breaks while the request is
        read), "lost" (carried out, but the connection breaks before the answer), or "hold" (waits
        until `release` of the result is set).
        """
        self.faults.append(Fault(method, path, kind, times))
        return self.faults[-1]

    def create(self, name: str, *, private: bool = False) -> Repo:
        repo = self.repos[name] = Repo(name, private)
        repo.commit("main", {".gitattributes": b"*.parquet filter=lfs\n"}, "initial commit")
        return repo

    async def _start(self) -> None:
        app = web.Application(middlewares=[self._middleware], client_max_size=1 << 30)
        repo, files = "/api/datasets/{namespace}/{name}", "/datasets/{namespace}/{name}"
        routes = [
            web.get("/api/whoami-v2", self.whoami),
            web.post("/api/repos/create", self.create_repo),
            web.post("/api/validate-yaml", self.accept),
            web.get(repo, self.info),
            web.get(repo + "/revision/{revision}", self.info),
            web.get(repo + "/tree/{revision}{path:.*}", self.tree),
            web.post(repo + "/paths-info/{revision}", self.paths_info),
            web.post(repo + "/branch/{revision}", self.create_branch),
            web.post(repo + "/preupload/{revision}", self.preupload),
            web.get(repo + "/xet-write-token/{revision}", self.accept),
            web.post(repo + "/commit/{revision}", self.make_commit),
            web.post(files + ".git/info/lfs/objects/batch", self.lfs_batch),
            web.post("/objects/verify", self.accept),
            web.get(files + "/resolve/{revision}/{path:.*}", self.resolve),
            web.put("/upload/{sha256}", self.store_put),
            web.post("/v1/xorbs/default/{name}", self.accept),
            web.post("/v1/shards", self.accept),
        ]
        app.add_routes(routes)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    @web.middleware
    async def _middleware(self, request: web.Request, handler: Any) -> web.StreamResponse:
        path = request.rel_url.raw_path
        self.log.append((request.method, path))
        matching = (
            f for f in self.faults if f.times > 0 and f.method == request.method and f.path in path
        )
        if (fault := next(matching, None)) is None:
            return await handler(request)
        fault.times -= 1
        fault.reached.set()
        if isinstance(fault.kind, int):
            await request.read()
            raise Refusal(fault.kind, "fault")
        if fault.kind == "hold":
            await asyncio.to_thread(fault.release.wait)
            return await handler(request)
        await (request.content.read(1) if fault.kind == "cut" else handler(request))
        request.transport.abort()  # type: ignore[union-attr]
        raise asyncio.CancelledError

    def _user(self, request: web.Request, namespace: str | None = None) -> str:
        """Whose the token is, which must be good for writing to a namespace."""
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if token not in TOKENS:
            raise Refusal(401, "Invalid username or password.")
        user, writable = TOKENS[token]
        if namespace is not None and namespace not in writable:
            raise Refusal(403, f"You don't have the required permissions to write to {namespace}")
        return user

    def _repo(self, request: web.Request, *, write: bool = False) -> Repo:
        namespace, name = request.match_info["namespace"], request.match_info["name"]
        if write:
            self._user(request, namespace)
        if f"{namespace}/{name}" not in self.repos:
            raise Refusal(404, "Repository not found", "RepoNotFound")
        return self.repos[f"{namespace}/{name}"]

    def _commit(self, request: web.Request, *, write: bool = False) -> Commit:
        return self._repo(request, write=write).history(request.match_info.get("revision", "main"))[
            0
        ]

    async def whoami(self, request: web.Request) -> web.Response:
        return web.json_response({"type": "user", "name": self._user(request), "orgs": []})

    async def accept(self, request: web.Request) -> web.Response:
        said = {"errors": [], "warnings": [], "was_inserted": True, "result": 1}
        return web.json_response(
            {**said, "casUrl": self.url, "accessToken": "any", "exp": int(time.time()) + 3600}
        )

    async def create_repo(self, request: web.Request) -> web.Response:
        asked = await request.json()
        assert asked["type"] == "dataset"
        namespace = asked.get("organization") or self._user(request)
        self._user(request, namespace)
        name = f"{namespace}/{asked['name']}"
        if not (exists := name in self.repos):
            self.create(
                name, private=asked.get("visibility") == "private" or asked.get("private") is True
            )
        return web.json_response(
            {"url": f"{self.url}/datasets/{name}"}, status=409 if exists else 200
        )

    async def info(self, request: web.Request) -> web.Response:
        repo, commit = self._repo(request), self._commit(request)
        files = [{"rfilename": path} for path in commit.files]
        return web.json_response(
            {"id": repo.name, "sha": commit.oid, "private": repo.private, "siblings": files}
        )

    async def create_branch(self, request: web.Request) -> web.Response:
        repo, branch = self._repo(request, write=True), request.match_info["revision"]
        if branch in repo.refs:
            raise Refusal(409, f"Reference already exists: {branch}")
        repo.refs[branch] = repo.history()
        return web.json_response({})

    async def tree(self, request: web.Request) -> web.Response:
        folder, entries = (
            PurePosixPath(request.match_info["path"].strip("/")),
            list_all(self._commit(request).files),
        )
        depth = None if request.query.get("recursive", "").lower() in ("1", "true") else 1
        found = [entry for at, entry in entries.items() if folder in list(at.parents)[:depth]]
        if not found:
            raise Refusal(404, f"{folder} does not exist", "EntryNotFound")
        return web.json_response(found)

    async def paths_info(self, request: web.Request) -> web.Response:
        """What huggingface_hub 0.x asks before it lists a folder."""
        entries, asked = (
            list_all(self._commit(request).files),
            (await request.post()).getall("paths"),
        )
        return web.json_response(
            [entries[at] for at in map(PurePosixPath, map(str, asked)) if at in entries]
        )

    async def resolve(self, request: web.Request) -> web.Response:
        commit, path = self._commit(request), request.match_info["path"]
        if path not in commit.files:
            raise Refusal(404, "Entry not found", "EntryNotFound")
        content = commit.files[path]
        found = describe(path, content)
        headers = {"X-Repo-Commit": commit.oid, "ETag": f'"{found.get("lfs", found)["oid"]}"'}
        start, stop, _ = request.http_range.indices(len(content))
        if "Range" not in request.headers:
            return web.Response(body=content, headers=headers)
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{len(content)}"
        return web.Response(status=206, body=content[start:stop], headers=headers)

    async def preupload(self, request: web.Request) -> web.Response:
        tree = self._commit(request, write="create_pr" not in request.query).files
        files = []
        for path in (item["path"] for item in (await request.json())["files"]):
            found = describe(path, tree[path]) if path in tree else {}
            mode = "lfs" if path.endswith(LARGE) else "regular"
            oid = found.get("lfs", found).get("oid")
            files.append({"path": path, "uploadMode": mode, "shouldIgnore": False, "oid": oid})
        return web.json_response({"files": files})

    async def lfs_batch(self, request: web.Request) -> web.Response:
        objects, verify = (await request.json())["objects"], {"href": f"{self.url}/objects/verify"}
        for item in objects:
            if item["oid"] not in self.store:
                item["actions"] = {
                    "upload": {"href": f"{self.url}/upload/{item['oid']}"},
                    "verify": verify,
                }
        return web.json_response({"transfer": "basic", "objects": objects})

    async def store_put(self, request: web.Request) -> web.Response:
        self.store[request.match_info["sha256"]] = await request.read()
        return web.Response()

    async def make_commit(self, request: web.Request) -> web.Response:
        pull = "create_pr" in request.query
        repo, head = self._repo(request, write=not pull), self._commit(request)
        files = dict(head.files)
        for line in (await request.read()).splitlines():
            key, value = json.loads(line).values()
            if key == "header":
                header = value
            elif key == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif key == "lfsFile":
                files[value["path"]] = self.store[value["oid"]]
            else:  # "deletedFile"
                del files[value["path"]]
        if header.get("parentCommit") not in (None, head.oid):
            raise Refusal(412, "A commit has happened since. Please refresh and try again.")
        ref, found = request.match_info["revision"], {}
        if pull:
            number = 1 + sum(name.startswith("refs/pr/") for name in repo.refs)
            repo.refs[f"refs/pr/{number}"], ref = repo.refs[ref], f"refs/pr/{number}"
            found["pullRequestUrl"] = f"{self.url}/datasets/{repo.name}/discussions/{number}"
        commit = repo.commit(ref, files, header["summary"], header["description"])
        found |= {
            "commitOid": commit.oid,
            "commitUrl": f"{self.url}/datasets/{repo.name}/commit/{commit.oid}",
        }
        return web.json_response({"success": True, **found})
