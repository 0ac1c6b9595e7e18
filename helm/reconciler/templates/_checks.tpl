{{/* What the schema cannot say: values that contradict each other. An empty text, or a failure that says what to do. */}}
{{- define "reconciler.checks" -}}
{{- if and (gt (int .Values.replicas) 1) (not .Values.highAvailability.enabled) -}}
{{- fail "replicas: several daemons need highAvailability.enabled: true, or they all do the same work" -}}
{{- end -}}
{{- with .Values.config.highAvailability -}}
{{- if not $.Values.highAvailability.enabled -}}
{{- fail "config.highAvailability is given, but highAvailability.enabled is false" -}}
{{- end -}}
{{- if ne (.namespace | default $.Release.Namespace) $.Release.Namespace -}}
{{- fail "config.highAvailability.namespace: the Role for the Leases is in the release's namespace; leave it out" -}}
{{- end -}}
{{- end -}}
{{- if and .Values.data.volume (gt (int .Values.replicas) 1) -}}
{{- fail "data.volume: one volume serves one daemon; set replicas: 1, or leave data.volume out" -}}
{{- end -}}
{{- if and .Values.monitoring.serviceMonitor.enabled .Values.monitoring.podMonitor.enabled -}}
{{- fail "monitoring: choose one of serviceMonitor and podMonitor, or every figure is counted twice" -}}
{{- end -}}
{{- range $kind := list "serviceMonitor" "podMonitor" "prometheusRule" -}}
{{- if and (get $.Values.monitoring $kind).enabled (not $.Values.monitoring.enabled) -}}
{{- fail (printf "monitoring.%s: there is nothing to ask without monitoring.enabled: true" $kind) -}}
{{- end -}}
{{- end -}}
{{- if and .Values.rbac.features.deletion (not .Values.rbac.writes) -}}
{{- fail "rbac.features.deletion: the daemon deletes by its own account, which may not write with rbac.writes: false" -}}
{{- end -}}
{{- if .Values.webhook.ingress.enabled -}}
{{- if not .Values.config.webhook -}}
{{- fail "webhook.ingress: there is no webhook to lead to; give config.webhook.receivers" -}}
{{- end -}}
{{- $_ := required "webhook.ingress.host: name the host that the Git host is to call" .Values.webhook.ingress.host -}}
{{- end -}}
{{- if and .Values.rbac.create (not .Values.rbac.clusterWide) -}}
{{- include "reconciler.checkNamespaces" . -}}
{{- end -}}
{{- end -}}

{{/* An app in a namespace without a Role would only be told to be unreachable, by a pod that is up. */}}
{{- define "reconciler.checkNamespaces" -}}
{{- $known := include "reconciler.namespaces" . | fromJsonArray -}}
{{- range $index, $app := .Values.config.apps -}}
{{- $namespace := $app.namespace | default "default" -}}
{{- if not (has $namespace $known) -}}
{{- fail (printf "config.apps[%d] (%s) is in the namespace %s, for which there is no Role: add it to namespaces" $index $app.name $namespace) -}}
{{- end -}}
{{- end -}}
{{- range $index, $source := .Values.config.sources -}}
{{- if $source.apps -}}
{{- range $namespace := prepend (($source.allow | default dict).namespaces | default list) ($source.namespace | default "default") -}}
{{- if not (has $namespace $known) -}}
{{- fail (printf "config.sources[%d] (%s) may have apps in the namespace %s, for which there is no Role: add it to namespaces" $index $source.name $namespace) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
