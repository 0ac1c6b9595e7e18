"""Apps that the repository describes: they come, wait for each other, rest and go by commits, and nobody notices."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import yaml

from rig.audit import Write
from rig.daemon import Event
from rig.scene import APP, Scene
from rig.waiting import until
from tests.e2e.harness.asserts import moved, no_request_failed
from tests.e2e.harness.commands import run


def discovering(scene: Scene) -> None:
    """The configuration names no app, only where they are described."""
    source = scene.source(apps="apps/*/app.yaml", namespace=scene.namespace)
    scene.config.write_text(yaml.safe_dump({"sources": [source], "apps": []}))


def described(scene: Scene, name: str, version: str = "", **settings: Any) -> dict[str, str]:
    """The files of an app."""
    known = scene.app(name, **settings)
    text = yaml.safe_dump({key: known[key] for key in known if key not in ("name", "namespace", "source")})
    files = {f"apps/{name}/app.yaml": text}
    return files | ({f"apps/{name}/version": f"{version}\n"} if version else {})


def confirmed(scene: Scene, app: str, commit: str) -> Event:
    return scene.daemon.wait_for("switch_confirmed", app=app, commit=commit, timeout=120)


def test_apps_come_and_go_by_commits(scene: Scene) -> None:
    """Two apps, of which one depends on the other; one is added, one broken and mended, one removed."""
    discovering(scene)
    files = described(scene, "db", "v1.0.0") | described(scene, APP, "v1.0.0", dependsOn=["db"])
    commit = scene.repository.commit("Two apps", files)
    scene.daemon.start()
    scene.load.start()
    db, app = confirmed(scene, "db", commit), confirmed(scene, APP, commit)
    scene.load.wait_for("v1.0.0")
    begun = scene.daemon.wait_for("revision_applied", app=APP, commit=commit)
    assert db["timestamp"] < begun["timestamp"] < app["timestamp"]
    assert scene.daemon.find("waiting_for", app=APP)

    added = scene.repository.commit("A third", described(scene, "extra", "v1.0.0"))
    confirmed(scene, "extra", added)
    broken = scene.repository.commit(
        "A mistake", {"apps/extra/app.yaml": "replicas: 3\n", "apps/db/version": "v2.0.0\n"}
    )
    invalid = scene.daemon.wait_for("app_invalid", app="extra", commit=broken)
    assert "apps/extra/app.yaml:1: replicas: unknown key" in invalid["reason"]
    confirmed(scene, "db", broken)

    shutil.rmtree(scene.repository.path / "apps" / "extra")
    removed = scene.repository.commit("No third", {f"apps/{APP}/version": "v2.0.0\n"})
    assert scene.daemon.wait_for("app_orphaned", app="extra")["commit"] == removed
    confirmed(scene, APP, removed)
    scene.load.wait_for("v2.0.0")
    assert scene.cluster.endpoints("extra"), "what is orphaned goes on serving"
    assert "extra" not in scene.audit.deleted("services")
    no_request_failed(scene.load)
    moved(scene, 1)


def test_a_removed_app_is_deleted_service_first_whatever_kills_the_daemon(scene: Scene) -> None:
    """Under load: requests fail only once its Service is gone, and what others asked to be kept stays."""
    discovering(scene)
    files = described(scene, APP, "v1.0.0", deletionPolicy="delete", values={"config": {"GREETING": "hello"}})
    files |= described(scene, "stays", "v1.0.0") | described(scene, "other", "v1.0.0")
    commit = scene.repository.commit("Three apps", files)
    scene.daemon.start()
    scene.load.start()
    for app in (APP, "stays", "other"):
        confirmed(scene, app, commit)
    scene.load.wait_for("v1.0.0")
    kept = scene.cluster.service("other")["metadata"]["uid"], *scene.cluster.deployments("other")

    with scene.cluster.watch("Service") as services:
        for name in (APP, "stays"):
            shutil.rmtree(scene.repository.path / "apps" / name)
        removed = scene.repository.commit("One app", {"apps/other/version": "v1.0.0\n"})
        services.wait_for(lambda each: each.type == "DELETED" and each.name == APP, "its Service goes")
    scene.daemon.kill()
    scene.load.stop()
    scene.daemon.start()
    told = scene.daemon.wait_for("app_deleted", app=APP, commit=removed)
    assert told["path"] == f"apps/{APP}/app.yaml"
    for kind in ("Service", "Deployment", "ConfigMap"):
        assert not scene.cluster.find(kind, **{"bluegreen.reconciler/app": APP})
    service, deployment = (_first_deletion(scene, kind) for kind in ("services", "deployments"))
    assert deployment.at - service.at > 2.0, "its pods stay until no node can send requests there"
    early = [each for each in scene.load.failures if each.end < service.at - 0.5]
    assert not early, early[:3]

    assert scene.daemon.find("app_orphaned", app="stays")
    assert scene.cluster.endpoints("stays") and scene.cluster.endpoints("other")
    assert kept == (scene.cluster.service("other")["metadata"]["uid"], *scene.cluster.deployments("other"))
    assert scene.cluster.service("stays")["metadata"]["annotations"]["bluegreen.reconciler/deletion-policy"] == "orphan"


def _first_deletion(scene: Scene, resource: str) -> Write:
    """The audit log calls it failed if the daemon was killed before it had the answer."""

    def found() -> list[Write]:
        return [each for each in scene.audit.writes(resource) if each.verb == "delete"]

    first = until(found, f"{resource} deleted")[0]
    assert first.name.startswith(APP)
    return first


def test_a_suspended_app_is_left_as_it_is(scene: Scene) -> None:
    """Nothing is changed for it: neither a new version nor a repair. It goes on from there when it is resumed."""
    discovering(scene)
    commit = scene.repository.commit("First", described(scene, APP, "v1.0.0"))
    scene.daemon.start()
    scene.load.start()
    confirmed(scene, APP, commit)
    scene.load.wait_for("v1.0.0")
    files = described(scene, APP, "v2.0.0", suspend=True) | described(scene, "other", "v1.0.0")
    paused = scene.repository.commit("Pause", files)
    scene.daemon.wait_for("suspended", app=APP)
    confirmed(scene, "other", paused)
    assert scene.versions() == {"v1.0.0"}
    status = run(scene, "status")
    assert "suspended" in status.out and status.status == 0, status
    resumed = scene.repository.commit("Go on", described(scene, APP))
    scene.daemon.wait_for("resumed", app=APP)
    confirmed(scene, APP, resumed)
    scene.load.wait_for("v2.0.0")
    no_request_failed(scene.load)
    moved(scene, 1)


def test_validate_checks_a_repository_by_itself(scene: Scene, tmp_path: Path) -> None:
    """As in a pull request's pipeline: a checked-out commit, no configuration, no cluster."""
    scene.repository.commit("One", described(scene, APP, "v1.0.0"))
    arguments = ("--repository", str(scene.repository.path), "--kubernetes-version", "1.34", "--output", "json")
    done = run(scene, "validate", *arguments)
    assert done.status == 0, done
    assert [each["ok"] for each in yaml.safe_load(done.out)] == [True]
    values = {"resources": {"request": {"cpu": "5m"}}}
    scene.repository.commit("Two", described(scene, "bad", "v1.0.0", values=values))
    done = run(scene, "validate", *arguments)
    assert done.status == 3, done
    found = {each["app"]: each for each in yaml.safe_load(done.out)}
    assert found[APP]["ok"] and not found["bad"]["ok"]
    assert found["bad"]["field"].endswith("resources.request")


def test_two_discovered_apps_are_seen_by_the_commands(scene: Scene) -> None:
    discovering(scene)
    scene.repository.commit("Two", described(scene, "db", "v1.0.0") | described(scene, APP, "v1.0.0", dependsOn=["db"]))
    done = run(scene, "once")
    assert done.status == 0, done
    until(lambda: scene.selected() == "v1.0.0", "the app serves")
    assert "waits for db" not in run(scene, "plan").out
