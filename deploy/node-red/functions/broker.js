// Whether the broker is there. One that comes back may have forgotten what it kept: tell lanes and line again.
//= include shared/state.js
const line = lineState();
const connected = msg.status?.fill === "green";
if (connected !== line.broker) line.told = {};
line.broker = connected;
return null;
