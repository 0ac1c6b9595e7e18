"""The Grafana dashboard as code: `helm/reconciler/files/dashboard.json` is written from it by `docs.generate`.

`release` and `health` hold the rows, in the order in which somebody asks who was woken by an alert: is anybody not
served, what do clients get, what is being released; then, does the daemon hear of Git, keep up, reach the cluster.
`board` puts them together with variables and annotations; `panels` is how a panel of ours looks.
"""
