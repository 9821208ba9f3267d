"""What ``racewindow new-adapter`` starts from: one store for each style, and the test of any of them."""
