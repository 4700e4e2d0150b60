// How numbers, times and reasons read for people.

export const round = (value, digits = 0) =>
  value === null || value === undefined ? "–" : value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });

export const clockTime = (ms) => new Date(ms).toLocaleTimeString([], { hour12: false });

export function duration(ms) {
  const s = Math.max(0, Math.round(ms / 1000));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60} s`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  return `${Math.floor(s / 86400)} d ${Math.floor((s % 86400) / 3600)} h`;
}

export const seconds = (ms) => (Math.abs(ms) < 1000 ? `${round(ms)} ms` : `${round(ms / 1000, 1)} s`);

export const size = (mm) => (mm ? `${round(mm[0])} × ${round(mm[1])} mm` : "size not known");

export const REASONS = {
  PLAN_MATCH: "a rule of the plan took it",
  DEFAULT: "no rule of the plan took it, so it goes to the default lane",
  LOW_CONF: "it was seen too little, or too uncertainly, to be sorted",
  NO_READ: "no code was read, and the plan asks for one",
  MULTI_LABEL_CONFLICT: "its labels contradict each other",
  DAMAGED: "it looks damaged",
  NON_CONVEYABLE: "it must not stay on the belt",
  OVERSIZE: "it is larger than the plan allows",
  DOUBLE: "two parcels touch or lie on each other",
  SIDE_BY_SIDE: "two parcels lie side by side",
  TRACK_LOST: "it was lost from view before the line",
  RESTART_FLUSH: "it was on the belt when the sorter started",
  LATE: "the decision would have come too late",
  DEGRADED_MODE: "the line was degraded",
};

export const RESULTS = {
  SENT: "sent to the PLC",
  DROPPED_OFFLINE: "not sent: the broker was away",
  DROPPED_STALLED: "not sent: the broker did not keep up",
  LATE: "not sent: too late for the diverter",
  DUPLICATE: "not sent again: it had been sent already",
};
