module.exports = {zones: {legacy: {connections: 3}}};
