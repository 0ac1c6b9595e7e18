"""What `helm test` runs in a pod: the daemon is ready, and its metrics hold the line that every daemon has.

Its argument is the Service's name as Kubernetes writes it in variables, which work without DNS, too.
"""

import os
import sys
from urllib.request import urlopen

host, port = (os.environ[f"{sys.argv[1]}_SERVICE_{part}"] for part in ("HOST", "PORT_MONITORING"))
host = f"[{host}]" if ":" in host else host
for path, expected in (("/readyz", ""), ("/metrics", "reconciler_build_info{")):
    with urlopen(f"http://{host}:{port}{path}", timeout=10) as answer:  # raises for every status that is no success
        text = answer.read(10_000_000).decode()
    if expected not in text:
        sys.exit(f"{path} does not hold {expected}")
    print(f"{path}: {answer.status}")
