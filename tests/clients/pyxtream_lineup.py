"""What pyxtream makes of a server: pyxtream_lineup.py BASE USER PASSWORD CACHE_DIR. Prints JSON; its own words go to stderr."""
import contextlib
import json
import sys

from pyxtream import XTream

base, user, password, cache = sys.argv[1:]
with contextlib.redirect_stdout(sys.stderr):
    server = XTream("yagi", user, password, base, cache_path=cache, reload_time_sec=0, validate_json=True)
    loaded = server.load_iptv()
    short = server.liveEpgByStreamAndLimit(server.channels[0].id, 2)
    whole = server.liveEpgByStream(server.channels[0].id)
json.dump(
    {
        "state": server.state,
        "loaded": loaded,
        "groups": [group.name for group in server.groups],
        "channels": [{"name": c.name, "url": c.url, "group": c.group_title, "logo": c.logo} for c in server.channels],
        "movies": len(server.movies),
        "series": len(server.series),
        "short": len(short["epg_listings"]),
        "whole": len(whole["epg_listings"]),
        "expires": server.auth_data["user_info"]["exp_date"],
    },
    sys.stdout,
)
