"""A scene, cut into tiles, becomes features on the map; jobs that outlive the process."""
