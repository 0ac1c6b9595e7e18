"""The main job, to be looked at: a commit moves live traffic, a revert moves it back, and no request fails."""
