#include "journal/output_writer.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "journal/crc32c.hpp"

namespace trireme {

Result<OutputWriter::File> OutputWriter::open_file(std::filesystem::path path) {
  File file{std::move(path), Fd(), 0};
  file.fd = Fd(::open(file.path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666));
  struct stat found {};
  if (!file.fd || ::fstat(file.fd.get(), &found) != 0) return file_error("open", file.path, errno);
  file.end = static_cast<std::uint64_t>(found.st_size);
  return file;
}

Result<OutputWriter> OutputWriter::open(std::filesystem::path data, std::filesystem::path index) {
  auto data_file = open_file(std::move(data));
  if (!data_file) return data_file.error();
  auto index_file = open_file(std::move(index));
  if (!index_file) return index_file.error();
  OutputWriter writer(std::move(*data_file), std::move(*index_file));
  File& lines = writer.index_;
  char last = '\n';
  if (lines.end > 0 && ::pread(lines.fd.get(), &last, 1, static_cast<off_t>(lines.end - 1)) != 1) {
    return file_error("read", lines.path, errno);
  }
  // What an earlier writer left unfinished ends here, and is known by its checksum.
  Status begun = lines.end == 0 ? write(lines, output_index_head) : last == '\n' ? Status() : write(lines, "\n");
  if (!begun.ok()) return begun.error();
  return writer;
}

Status OutputWriter::write(File& file, std::string_view bytes) {
  std::uint64_t at = file.end;
  while (!bytes.empty()) {
    const ssize_t n = ::pwrite(file.fd.get(), bytes.data(), bytes.size(), static_cast<off_t>(at));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {
      const int code = n < 0 ? errno : EIO;
      cut(file);
      return file_error("write", file.path, code);
    }
    bytes.remove_prefix(static_cast<std::size_t>(n));
    at += static_cast<std::uint64_t>(n);
  }
  file.end = at;
  return {};
}

void OutputWriter::cut(const File& file) {
  // Where even this fails, what is left is overwritten by the next piece, and no line tells of it.
  [[maybe_unused]] const int ignored = ::ftruncate(file.fd.get(), static_cast<off_t>(file.end));
}

Status OutputWriter::append(const std::vector<OutputPiece>& pieces) {
  bytes_.clear();
  lines_.clear();
  for (const OutputPiece& piece : pieces) {
    lines_ += to_line({*piece.source, data_.end + bytes_.size(), piece.bytes.size(), crc32c(piece.bytes)});
    bytes_ += piece.bytes;
  }
  const std::uint64_t before = data_.end;
  if (auto written = write(data_, bytes_); !written.ok()) return written;
  auto told = write(index_, lines_);
  if (!told.ok()) {
    data_.end = before;
    cut(data_);
  }
  return told;
}

}  // namespace trireme
