// What iptv-playlist-parser makes of a playlist: playlist_parser.cjs URL. Prints JSON. The packages lie in YAGI_TEST_NODE.
const { createRequire } = require('node:module');
const parser = createRequire(`${process.env.YAGI_TEST_NODE}/node_modules/`)('iptv-playlist-parser');

fetch(process.argv[2])
  .then((answer) => answer.text())
  .then((text) => console.log(JSON.stringify(parser.parse(text))));
