// Node-RED without editor and web server: nothing listens, the flow just runs. Use your own settings where you have some.
const net = require("net");

// Node leaves Nagle's algorithm on: an acknowledgement right behind a heartbeat would wait up to 40 ms for the broker's
// TCP acknowledgement of the heartbeat. Before the connection is made, for plain and TLS sockets alike.
const connect = net.Socket.prototype.connect;
net.Socket.prototype.connect = function (...where) {
    this.setNoDelay(true);
    return connect.apply(this, where);
};

module.exports = {
    flowFile: process.env.EDGE_SORTER_FLOW || `${__dirname}/flow.json`,
    httpAdminRoot: false,
    httpNodeRoot: false,
    functionTimeout: 0,
    logging: { console: { level: "info", metrics: false, audit: false } },
};
