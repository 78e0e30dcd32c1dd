-- Argo CD's health check for PrometheusMirror: Healthy when every pod serves the current configuration.
-- argocd-cm.yaml has the same text, in the form in which Argo CD takes it.
local health = { status = "Progressing", message = "Waiting for the operator." }
if obj.status == nil or obj.status.conditions == nil then
  return health
end

local conditions = {}
for _, condition in ipairs(obj.status.conditions) do
  -- What was said of an earlier generation is not about this one.
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
  -- A Prometheus that is down is no reason to hold a rollout of its mirror back; but it is worth reading.
  if is("TargetsReachable", "False") then
    health.message = health.message .. " " .. conditions.TargetsReachable.message
  end
elseif ready ~= nil and ready.reason == "ScaledToZero" then
  health.status = "Suspended"
end
return health
