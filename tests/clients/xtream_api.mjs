// What @iptv/xtream-api makes of a server: xtream_api.mjs BASE USER PASSWORD. Prints JSON. The packages lie in YAGI_TEST_NODE.
import { createRequire } from 'node:module';
const require = createRequire(`${process.env.YAGI_TEST_NODE}/node_modules/`);
const { Xtream } = require('@iptv/xtream-api');
const { standardizedSerializer } = require('@iptv/xtream-api/standardized');

const [url, username, password] = process.argv.slice(2);
const plain = new Xtream({ url, username, password, preferredFormat: 'ts' });
const standard = new Xtream({ url, username, password, preferredFormat: 'ts', serializer: standardizedSerializer });
const channels = await plain.getChannels();
const channelId = channels[0].stream_id;
console.log(JSON.stringify({
  profile: await plain.getProfile(),
  server: await plain.getServerInfo(),
  categories: await plain.getChannelCategories(),
  channels,
  page: await plain.getChannels({ page: 1, limit: 1 }),
  movies: await plain.getMovies(),
  shows: await plain.getShows(),
  short: await plain.getShortEPG({ channelId, limit: 2 }),
  whole: await plain.getFullEPG({ channelId }),
  archive: plain.generateStreamUrl({
    type: 'channel', streamId: channelId, extension: 'ts', timeshift: { duration: 60, start: new Date('2026-11-25T20:15:00Z') },
  }),
  standard: {
    profile: await standard.getProfile(),
    server: await standard.getServerInfo(),
    channels: await standard.getChannels(),
    short: await standard.getShortEPG({ channelId, limit: 2 }),
  },
}));
