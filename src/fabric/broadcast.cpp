#include "fabric/broadcast.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

#include "fabric/frame.hpp"

namespace trireme::fabric {

namespace {

struct Header {
  static constexpr std::uint16_t last = 1;
  std::uint16_t version = wire_version;
  std::uint16_t flags = 0;
  std::uint32_t reserved = 0;
  std::uint64_t incarnation = 0;
  std::uint64_t length = 0;
};
static_assert(sizeof(Header) == 24);

}  // namespace

EpochBroadcast::EpochBroadcast(MPI_Comm comm, bool root, const Config& config)
    : comm_(comm), root_(root), config_(config), buffers_(std::make_unique<Buffers>()) {
  buffers_->first.resize(std::max(config_.first_bytes, sizeof(Header)));
  if (!root_) open();
}

EpochBroadcast::~EpochBroadcast() {
  // A broadcast that never completes may still write to its buffer.
  if (in_progress_) static_cast<void>(buffers_.release());
}

void EpochBroadcast::begin(std::string& part, MPI_Request& request) {
  if (MPI_Ibcast(part.data(), static_cast<int>(part.size()), MPI_BYTE, 0, comm_, &request) != MPI_SUCCESS) {
    abandon();
  }
}

void EpochBroadcast::open() {
  in_progress_ = true;
  has_rest_ = false;
  begin(buffers_->first, first_request_);
}

void EpochBroadcast::start(std::string batch, bool last) {
  const std::size_t room = buffers_->first.size() - sizeof(Header);
  Header header{.incarnation = config_.incarnation, .length = batch.size()};
  if (last) header.flags |= Header::last;
  std::memcpy(buffers_->first.data(), &header, sizeof header);
  const std::size_t here = std::min(room, batch.size());
  std::memcpy(buffers_->first.data() + sizeof header, batch.data(), here);
  in_progress_ = true;
  closed_ = last;
  has_rest_ = batch.size() > room;
  begin(buffers_->first, first_request_);
  if (!has_rest_ || abandoned_) return;
  buffers_->rest = std::move(batch);
  buffers_->rest.erase(0, here);
  begin(buffers_->rest, rest_request_);
}

bool EpochBroadcast::progress(const std::function<void(std::string_view batch)>& on_batch) {
  if (!in_progress_ || abandoned_) return false;
  int done = 0;
  if (first_request_ != MPI_REQUEST_NULL) {
    if (MPI_Test(&first_request_, &done, MPI_STATUS_IGNORE) != MPI_SUCCESS) abandon();
    if (done == 0 || abandoned_) return false;
    if (root_) {
      in_progress_ = has_rest_;
      return true;
    }
    Header header;
    std::memcpy(&header, buffers_->first.data(), sizeof header);
    const std::size_t room = buffers_->first.size() - sizeof header;
    if (header.version != wire_version || header.incarnation != config_.incarnation ||
        header.length > config_.max_bytes) {
      abandon();
      return false;
    }
    closed_ = (header.flags & Header::last) != 0;
    has_rest_ = header.length > room;
    if (has_rest_) {
      buffers_->rest.resize(header.length - room);
      begin(buffers_->rest, rest_request_);
      return true;
    }
    if (header.length > 0) {
      on_batch(std::string_view(buffers_->first).substr(sizeof header, header.length));
    }
  } else {
    if (MPI_Test(&rest_request_, &done, MPI_STATUS_IGNORE) != MPI_SUCCESS) abandon();
    if (done == 0 || abandoned_) return false;
    if (root_) {
      in_progress_ = false;
      return true;
    }
    std::string batch = buffers_->first.substr(sizeof(Header));
    batch += buffers_->rest;
    on_batch(batch);
  }
  in_progress_ = false;
  if (!closed_) open();
  return true;
}

}  // namespace trireme::fabric
