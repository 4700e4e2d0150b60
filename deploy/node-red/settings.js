// Node-RED without editor and web server: nothing listens, the flow just runs. Use your own settings where you have some.
module.exports = {
    flowFile: process.env.EDGE_SORTER_FLOW || `${__dirname}/flow.json`,
    httpAdminRoot: false,
    httpNodeRoot: false,
    functionTimeout: 0,
    logging: { console: { level: "info", metrics: false, audit: false } },
};
