// The dashboard's side on the pilot's thread: when a point or a snapshot is due, and the file with the page's address.
//
// A point is added to the series every second, whether somebody looks or not; snapshots are made only while a page is open,
// one a second and a little sooner for a page that has just come. The address holds a key that is good once, so it is told
// once on the terminal, and the file RUN/dashboard.url, which only its owner can read, always holds one that is good. Belongs to the
// pilot's thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include "observe/dashboard.hpp"
#include "observe/run_view.hpp"

namespace trireme {

/// For the pages that are open.
struct DashboardNews {
  std::string history;  ///< empty: no page needs it
  std::string snapshot;
  bool over = false;  ///< the run has ended
};

/// Where the page is.
struct DashboardPlace {
  std::string host;  ///< whose loopback it is on
  std::uint16_t port = 0;
};

/// "http://127.0.0.1:PORT/dashboard?key=KEY".
std::string dashboard_url(const DashboardPlace& place, const std::string& key);
/// What a person needs to open it: the address, and the ssh line for another computer. `login` is where the job was submitted,
/// or empty; `file` will hold the next address.
std::string dashboard_words(const DashboardPlace& place, const std::string& key, const std::string& user,
                            const std::string& login, const std::filesystem::path& file);

class DashboardFeed {
 public:
  DashboardFeed(const std::filesystem::path& run_dir, std::function<void(const std::string& text)> say);
  ~DashboardFeed();
  DashboardFeed(const DashboardFeed&) = delete;
  DashboardFeed& operator=(const DashboardFeed&) = delete;

  /// The page can be opened with this key from now on.
  Status on_key(const DashboardPlace& place, const std::string& key);
  /// So many pages are open, and whether one has just come.
  void on_viewers(std::size_t viewers, bool fresh, MonoTime now);
  /// Does what is due.
  std::optional<DashboardNews> on_time(MonoTime now, const observe::RunView& run);
  MonoTime next_deadline() const;
  /// The run has ended: the last news.
  DashboardNews finish(MonoTime now, const observe::RunView& run);

 private:
  std::filesystem::path file_;
  std::function<void(const std::string& text)> say_;
  bool told_ = false;
  observe::Dashboard dashboard_;
  std::size_t viewers_ = 0;
  bool history_due_ = false;
  MonoTime sampled_ = 0;
  MonoTime next_point_ = 0;
};

}  // namespace trireme
