"""What whoever may write Leases can do, and how it is ended: see the threat model in docs/operations.md."""

from __future__ import annotations

from itertools import count

from reconciler.app.ownership import key_of
from reconciler.core.membership import owner_of
from rig.scene import APP, Scene
from rig.waiting import until
from tests.e2e.test_high_availability import members_of, share


def test_a_member_that_does_not_exist_keeps_an_app_from_work_until_its_lease_is_let_go(scene: Scene) -> None:
    """It is good for an hour by its own word, and would have the app. Nothing is written for that; once its holder is
    taken away, the daemon has the app, and releases what Git says."""
    share(scene)
    scene.daemon.start()
    me = scene.daemon.wait_for("membership_changed")["member"]
    key = key_of(scene.namespace, APP)
    forged = next(name for number in count() if owner_of(key, {me, name := f"forged-{number}"}) == name)
    meta = {"name": forged, "labels": {"bluegreen.reconciler/group": "shop"}}
    spec = {"holderIdentity": "nobody", "leaseDurationSeconds": 3600}
    scene.cluster.create({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": meta, "spec": spec})
    until(lambda: forged in members_of(scene.daemon), "it counts as a member")
    commit = scene.release("v1.0.0")
    scene.daemon.wait_for("source_updated", commit=commit)
    later = scene.repository.commit("Nothing of the app's", {"README.md": "Hello\n"})
    scene.daemon.wait_for("source_updated", commit=later)
    assert scene.audit.writes() == [] and scene.daemon.names(app=APP) == []

    scene.cluster.patch("Lease", forged, {"spec": {"holderIdentity": ""}})
    scene.settle(later)
    assert forged not in members_of(scene.daemon) and scene.selected() == "v1.0.0"
