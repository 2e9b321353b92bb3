//! Proves by the database's own plans that no question of a hot path reads or sorts a whole table.
