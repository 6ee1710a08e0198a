"""docker-compose.yml without containers: each service's own command, environment and health check, on loopback.

What a container would see at a path of its own is mapped to a folder of the test; nothing else is changed.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
COMPOSE, DOCKERFILE = ROOT / "docker-compose.yml", ROOT / "Dockerfile"
_END_S = 30.0


def read_compose() -> dict[str, Any]:
    """Return the file as YAML has it, anchors and merges resolved."""
    read: dict[str, Any] = yaml.safe_load(COMPOSE.read_text())
    return read


def read_dockerfile() -> list[tuple[str, str]]:
    """Return the instructions with what follows each, continued lines as one."""
    text = re.sub(r"\\\n\s*", "", DOCKERFILE.read_text())
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(line.partition(" ")[0], line.partition(" ")[2]) for line in lines]


def image_env() -> dict[str, str]:
    """Return the environment of the image's last stage."""
    instructions = read_dockerfile()
    last = max(i for i, (word, _) in enumerate(instructions) if word == "FROM")
    pairs = [pair for word, rest in instructions[last:] if word == "ENV" for pair in rest.split()]
    return dict(pair.split("=", 1) for pair in pairs)


def build_tree(tree: Path) -> None:
    """Copy what the image would hold, as COPY and .dockerignore say, and run what is then made in it."""
    for word, rest in read_dockerfile():
        *sources, target = rest.split()
        if word == "COPY" and not rest.startswith("--from") and not target.startswith("/"):
            for source in sources:
                _copy(ROOT / source, tree / target / (source.rpartition("/")[2] if target.endswith("/") else ""))
    made = [rest for word, rest in read_dockerfile() if word == "RUN" and rest.find("/opt/venv/bin/python ") >= 0]
    for command in made:
        mapped = _map(command, {"/tmp": str(tree / "tmp"), "/opt/venv/bin/python": sys.executable})
        subprocess.run(["sh", "-c", mapped], cwd=tree, env=_bare(), check=True, stdout=subprocess.DEVNULL)
    (tree / "tmp").rmdir()


def _copy(source: Path, target: Path) -> None:
    left_out = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if not line.startswith(("!", "#"))]

    def ignore(folder: str, names: list[str]) -> set[str]:
        paths = {name: Path(folder, name).relative_to(ROOT).as_posix() for name in names}
        return {n for n, path in paths.items() if path in left_out or n == "__pycache__" or n.endswith(".pyc")}

    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, ignore=ignore)
    else:
        shutil.copy(source, target)


def _files(tree: Path) -> set[str]:
    return {str(path.relative_to(tree)) for path in tree.rglob("*")}


def _map(text: str, paths: Mapping[str, str]) -> str:
    longest_first = sorted(paths, key=len, reverse=True)
    return re.sub("|".join(map(re.escape, longest_first)), lambda found: paths[found[0]], text)


def _bare() -> dict[str, str]:
    """Return what the test passes on of its own environment: where programs are."""
    return {"PATH": os.environ["PATH"]}


@dataclass
class Deployment:
    """Services by name; `instead` are environment variables whose values differ outside containers."""

    home: Path
    tree: Path
    programs: Path  # a folder of programs that other images bring, first in PATH
    instead: dict[str, dict[str, str]] = field(default_factory=dict)
    _running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._services = read_compose()["services"]
        self._files = _files(self.tree)

    def run(self, name: str) -> None:
        """Run a one-shot service to its end."""
        done = subprocess.run(
            self._command(name), cwd=self.tree, env=self._env(name), capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{name}: {done.stdout}{done.stderr}"

    def manage(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command of manage.py where web runs, as `docker compose exec web` would."""
        command = ["python", "manage.py", *arguments]
        return subprocess.run(command, cwd=self.tree, env=self._env("web"), capture_output=True, text=True, check=False)

    def start(self, name: str, number: int = 1) -> None:
        """Start one container's process of a service."""
        key = f"{name}-{number}"
        with (self.home / f"{key}.log").open("ab") as log:
            self._running[key] = subprocess.Popen(
                self._command(name, key),
                cwd=self.tree,
                env=self._env(name, key),
                stdout=log,
                stderr=log,
                process_group=0,
            )

    def ask_health(self, name: str, number: int = 1) -> tuple[bool, str]:
        """Run the service's health check; return whether it is well, and what it said."""
        key = f"{name}-{number}"
        kind, *words = self._services[name]["healthcheck"]["test"]
        words = [self._mapped(word, name, key) for word in words]
        command = ["sh", "-c", *words] if kind == "CMD-SHELL" else words
        asked = subprocess.run(
            command, cwd=self.tree, env=self._env(name, key), capture_output=True, text=True, check=False
        )
        return asked.returncode == 0, asked.stdout + asked.stderr

    def file(self, name: str, path: str, number: int = 1) -> Path:
        """Return where a container's path is."""
        return Path(self._mapped(path, name, f"{name}-{number}"))

    def lives(self, name: str, number: int = 1) -> bool:
        return self._running[f"{name}-{number}"].poll() is None

    def signal(self, name: str, which: signal.Signals, number: int = 1) -> None:
        self._running[f"{name}-{number}"].send_signal(which)

    def stop(self, *containers: tuple[str, int]) -> dict[tuple[str, int], int]:
        """SIGTERM to each, as `docker compose stop` sends it; return the statuses with which they ended."""
        processes = {container: self._running.pop("{}-{}".format(*container)) for container in containers}
        for process in processes.values():
            process.terminate()
        return {container: process.wait(_END_S) for container, process in processes.items()}

    def end(self) -> None:
        """End all that run."""
        for process in self._running.values():
            process.send_signal(signal.SIGCONT)
            process.terminate()
        for process in self._running.values():
            try:
                process.wait(_END_S)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def find_changes(self) -> list[str]:
        """Return what is in the image's tree now and was not, or the other way round."""
        return sorted(self._files ^ _files(self.tree))

    def _command(self, name: str, key: str | None = None) -> Sequence[str]:
        return [self._mapped(word, name, key or name) for word in self._services[name]["command"]]

    def _env(self, name: str, key: str | None = None) -> dict[str, str]:
        service = self._services[name]
        own = dict(image_env()) if "build" in service else {}
        for entry in service.get("env_file", ()):
            lines = (self.home / entry["path"]).read_text().splitlines()
            own |= dict(line.split("=", 1) for line in lines if line)
        own |= {**service.get("environment", {}), **self.instead.get(name, {})}
        env = {variable: self._mapped(value, name, key or name) for variable, value in own.items()}
        return {**_bare(), **env, "PATH": f"{self.programs}:{Path(sys.executable).parent}:{os.environ['PATH']}"}

    def _mapped(self, text: str, name: str, key: str) -> str:
        """Map a container's paths: its own /tmp, and of the secrets only those that the service lists."""
        secrets, tmp = self.home / "run" / name, self.home / "tmp" / key
        if not secrets.exists():
            secrets.mkdir(parents=True)
            for secret in self._services[name].get("secrets", ()):
                (secrets / secret).symlink_to(self.home / read_compose()["secrets"][secret]["file"])
        tmp.mkdir(parents=True, exist_ok=True)
        paths = {"/run/secrets": str(secrets), "/tmp": str(tmp), "/srv/dataunion": str(self.tree)}
        return _map(text.replace("$$", "$"), paths)
