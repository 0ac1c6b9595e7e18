"""What the chart's ServiceAccount may do, by the API server's own word, is what the documented table says."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from rig.access import differences, documented, listed
from rig.incluster import InCluster
from rig.scene import Scene
from tests.e2e.harness.commands import kubectl

FEATURES = ("secrets", "statefulSets", "ingresses", "furtherKinds", "jobs", "apiServerProxy", "deletion")


@pytest.mark.parametrize("features", [(), FEATURES], ids=["by-default", "everything"])
def test_account_of_the_chart_may_do_what_is_documented(
    scene: Scene, incluster: InCluster, features: Sequence[str]
) -> None:
    """In the namespace of the apps, in the one of the release, and in any other: no more, and no less."""
    incluster.apply(wait=False, rbac={"features": dict.fromkeys(features, True)})

    def wrong(namespace: str, wanted: Sequence[str]) -> list[str]:
        done = kubectl(scene, "auth", "can-i", "--list", f"--namespace={namespace}", f"--as={incluster.account}")
        assert done.status == 0, done.err
        return differences(listed(done.out), documented(wanted))

    assert not wrong(scene.namespace, ["always", *features])
    assert not wrong(incluster.namespace, ["members"])
    assert not wrong("default", [])
