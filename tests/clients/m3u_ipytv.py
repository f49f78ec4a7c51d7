"""What m3u-ipytv makes of a playlist: m3u_ipytv.py URL. Prints JSON."""
import json
import sys

from ipytv import playlist

read = playlist.loadu(sys.argv[1])
json.dump(
    {
        "header": read.get_attributes(),
        "channels": [{"name": c.name, "url": c.url, "attributes": c.attributes} for c in read.get_channels()],
    },
    sys.stdout,
)
