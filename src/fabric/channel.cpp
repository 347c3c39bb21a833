#include "fabric/channel.hpp"

#include <algorithm>
#include <utility>

namespace trireme::fabric {

namespace {

constexpr std::size_t spare_buffers = 64;
constexpr int unused_tag = 9;

int tag_of(MessageClass message_class) {
  return static_cast<int>(index_of(message_class)) + 1;
}

}  // namespace

FrameChannel::FrameChannel(MPI_Comm comm, std::size_t frame_bytes, std::size_t receives_per_class)
    : comm_(comm), frame_bytes_(frame_bytes) {
  add_receives(receives_per_class);
}

FrameChannel::~FrameChannel() {
  // MPI may still use these buffers, and asking it to let go of them could hang.
  for (Buffer& buffer : abandoned_) static_cast<void>(buffer.release());
  if (cancelled_) return;
  for (Receive& receive : receives_) static_cast<void>(receive.buffer.release());
  for (Send& send : sends_) static_cast<void>(send.buffer.release());
}

void FrameChannel::add_receives(std::size_t per_class) {
  for (const MessageClass message_class : {MessageClass::control, MessageClass::bulk}) {
    for (std::size_t i = 0; i < per_class; ++i) {
      receives_.push_back({.message_class = message_class, .buffer = buffer()});
      receive_requests_.push_back(MPI_REQUEST_NULL);
      open(receives_.size() - 1);
    }
  }
}

void FrameChannel::open(std::size_t slot) {
  Receive& receive = receives_[slot];
  if (MPI_Irecv(receive.buffer.get(), static_cast<int>(frame_bytes_), MPI_BYTE, MPI_ANY_SOURCE,
                tag_of(receive.message_class), comm_, &receive_requests_[slot]) != MPI_SUCCESS) {
    receive_requests_[slot] = MPI_REQUEST_NULL;
    ++errors_;
  }
}

std::span<const std::size_t> FrameChannel::test_receives() {
  arrived_.clear();
  const std::size_t count = receive_requests_.size();
  indices_.resize(std::max(indices_.size(), count));
  statuses_.resize(std::max(statuses_.size(), count));
  int done = 0;
  const int rc =
      MPI_Testsome(static_cast<int>(count), receive_requests_.data(), &done, indices_.data(), statuses_.data());
  if (rc != MPI_SUCCESS && rc != MPI_ERR_IN_STATUS) {
    ++errors_;
    return {};
  }
  if (done == MPI_UNDEFINED) return {};
  for (int i = 0; i < done; ++i) {
    const auto slot = static_cast<std::size_t>(indices_[static_cast<std::size_t>(i)]);
    const MPI_Status& status = statuses_[static_cast<std::size_t>(i)];
    if (rc == MPI_ERR_IN_STATUS && status.MPI_ERROR != MPI_SUCCESS) {
      // Who it was from is not known for certain; if a rank is dead its heartbeats will say so.
      ++errors_;
      open(slot);
      continue;
    }
    int length = 0;
    MPI_Get_count(&status, MPI_BYTE, &length);
    receives_[slot].from = status.MPI_SOURCE;
    receives_[slot].length = static_cast<std::size_t>(std::max(length, 0));
    arrived_.push_back(slot);
  }
  std::stable_partition(arrived_.begin(), arrived_.end(),
                        [this](std::size_t slot) { return receives_[slot].message_class == MessageClass::control; });
  return arrived_;
}

FrameChannel::Buffer FrameChannel::buffer() {
  if (spare_.empty()) return std::make_unique_for_overwrite<char[]>(frame_bytes_);
  Buffer buffer = std::move(spare_.back());
  spare_.pop_back();
  return buffer;
}

bool FrameChannel::send(Rank to, MessageClass message_class, Buffer buffer, std::size_t length) {
  MPI_Request request = MPI_REQUEST_NULL;
  const int rc =
      MPI_Isend(buffer.get(), static_cast<int>(length), MPI_BYTE, to, tag_of(message_class), comm_, &request);
  if (rc != MPI_SUCCESS) {
    ++errors_;
    abandoned_.push_back(std::move(buffer));
    return false;
  }
  send_requests_.push_back(request);
  sends_.push_back({to, std::move(buffer)});
  return true;
}

void FrameChannel::progress() {
  int found = 0;
  MPI_Iprobe(MPI_ANY_SOURCE, unused_tag, comm_, &found, MPI_STATUS_IGNORE);
}

std::size_t FrameChannel::reap(std::vector<Rank>& failed) {
  const std::size_t count = send_requests_.size();
  if (count == 0) return 0;
  indices_.resize(std::max(indices_.size(), count));
  statuses_.resize(std::max(statuses_.size(), count));
  int done = 0;
  const int rc = MPI_Testsome(static_cast<int>(count), send_requests_.data(), &done, indices_.data(), statuses_.data());
  if (rc != MPI_SUCCESS && rc != MPI_ERR_IN_STATUS) {
    ++errors_;
    return 0;
  }
  if (done == MPI_UNDEFINED || done == 0) return 0;
  for (int i = 0; i < done; ++i) {
    Send& send = sends_[static_cast<std::size_t>(indices_[static_cast<std::size_t>(i)])];
    if (rc == MPI_ERR_IN_STATUS && statuses_[static_cast<std::size_t>(i)].MPI_ERROR != MPI_SUCCESS) {
      ++errors_;
      failed.push_back(send.to);
    }
    if (spare_.size() < spare_buffers) {
      spare_.push_back(std::move(send.buffer));
    } else {
      send.buffer.reset();
    }
  }
  std::erase_if(sends_, [](const Send& send) { return send.buffer == nullptr; });
  std::erase(send_requests_, MPI_REQUEST_NULL);
  return static_cast<std::size_t>(done);
}

void FrameChannel::abandon(Rank rank) {
  std::size_t kept = 0;
  for (std::size_t i = 0; i < sends_.size(); ++i) {
    if (sends_[i].to == rank) {
      abandoned_.push_back(std::move(sends_[i].buffer));
      continue;
    }
    if (kept != i) {
      sends_[kept] = std::move(sends_[i]);
      send_requests_[kept] = send_requests_[i];
    }
    ++kept;
  }
  sends_.resize(kept);
  send_requests_.resize(kept);
}

void FrameChannel::cancel() {
  for (MPI_Request& request : receive_requests_) {
    if (request == MPI_REQUEST_NULL) continue;
    MPI_Cancel(&request);
    MPI_Wait(&request, MPI_STATUS_IGNORE);
  }
  cancelled_ = true;
}

}  // namespace trireme::fabric
