// The event log as an SQLite database, for SQL and pandas (tables in docs/spec/events.md).
#pragma once

#include <cstdint>
#include <filesystem>

#include "core/result.hpp"
#include "journal/reader.hpp"

namespace trireme {

/// Writes all events that `reader` has now into a new database at `path`, replacing what is there. The file appears as a
/// whole or not at all. Returns the number of events.
Result<std::uint64_t> export_sqlite(JournalReader& reader, const std::filesystem::path& path);

}  // namespace trireme
