#include "journal/output_reader.hpp"

#include <fstream>
#include <system_error>

#include "journal/crc32c.hpp"

namespace trireme {

std::vector<OutputRecord> OutputReader::new_records() {
  std::vector<OutputRecord> out;
  std::ifstream index(index_, std::ios::binary);
  index.seekg(static_cast<std::streamoff>(index_end_));
  const std::string mine = ' ' + source_.task;
  for (std::string line; std::getline(index, line) && !index.eof();) {  // the last one is not yet whole
    index_end_ += line.size() + 1;
    if (!line.ends_with(mine)) continue;
    auto record = parse_output_line(line);
    if (record && record->source == source_) out.push_back(std::move(*record));
  }
  return out;
}

bool OutputReader::read(const OutputRecord& record, std::string& out) const {
  // The length is looked at before room is made for it.
  std::error_code error;
  const auto size = std::filesystem::file_size(data_, error);
  if (error || record.offset > size || record.length > size - record.offset) return false;
  std::ifstream data(data_, std::ios::binary);
  data.seekg(static_cast<std::streamoff>(record.offset));
  out.resize(record.length);
  data.read(out.data(), static_cast<std::streamsize>(out.size()));
  return static_cast<std::uint64_t>(data.gcount()) == record.length && crc32c(out) == record.checksum;
}

void OutputReader::read_new(const std::function<void(std::string_view)>& take) {
  std::string bytes;
  for (const OutputRecord& record : new_records()) {
    if (read(record, bytes)) {
      take(bytes);
    } else {
      ++damaged_;
    }
  }
}

std::string OutputReader::tail(std::size_t bytes) {
  const std::vector<OutputRecord> records = new_records();
  std::string out;
  std::string piece;
  for (auto record = records.rbegin(); record != records.rend() && out.size() < bytes; ++record) {
    if (read(*record, piece)) {
      out.insert(0, piece);
    } else {
      ++damaged_;
    }
  }
  return out;
}

}  // namespace trireme
