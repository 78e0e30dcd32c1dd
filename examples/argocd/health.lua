-- Argo CD's health check for PrometheusMirror: Healthy when every pod serves the current
-- configuration.
-- argocd-cm.yaml contains the same text, for Argo CD's configuration.
local health = { status = "Progressing", message = "Waiting for the operator." }
if obj.status == nil or obj.status.conditions == nil then
  return health
end

local conditions = {}
for _, condition in ipairs(obj.status.conditions) do
  -- Ignore conditions of an earlier generation.
  if condition.observedGeneration == obj.metadata.generation then
    conditions[condition.type] = condition
  end
end
local function is(name, status)
  return conditions[name] ~= nil and conditions[name].status == status
end

local ready = conditions.Ready
if ready ~= nil then
  health.message = ready.message
end
if is("Paused", "True") then
  health.status = "Suspended"
  health.message = conditions.Paused.message
elseif is("Stalled", "True") then
  health.status = "Degraded"
  health.message = conditions.Stalled.message
elseif is("Ready", "True") then
  health.status = "Healthy"
  -- An unreachable Prometheus must not block a rollout, but the message is shown.
  if is("TargetsReachable", "False") then
    health.message = health.message .. " " .. conditions.TargetsReachable.message
  end
elseif ready ~= nil and ready.reason == "ScaledToZero" then
  health.status = "Suspended"
end
return health
