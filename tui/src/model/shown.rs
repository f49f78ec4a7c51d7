//! Which rows a view shows, in which order, and which of them are selected or marked.

use yagi_api::{Category, Channel, ChannelRow, ClientRow, GuideChannel, LogRecord, Setting, Source, StreamRow, User};

use super::{Model, Target, View};
use crate::{
    filter::{Filter, exact},
    list::Paged,
    rows::pages,
    screens::columns,
};

impl Model {
    /// The streams that the view shows, filtered and sorted.
    #[must_use]
    pub fn shown_streams(&self) -> Vec<&StreamRow> {
        let list = &self.lists[View::Streams.index()];
        let filter = Filter::new(&list.filter);
        let (sort, _) = columns::sorted(View::Streams, list.sort);
        let mut rows: Vec<&StreamRow> = self
            .streams
            .iter()
            .filter(|s| filter.passes(&[("name", &s.name), ("state", s.state.word()), ("source", &s.source)]))
            .collect();
        rows.sort_by(|a, b| {
            let order = match sort {
                "name" => a.name.cmp(&b.name),
                "state" => a.state.word().cmp(b.state.word()),
                "in" => a.in_bits_per_s.cmp(&b.in_bits_per_s),
                "out" => a.out_bits_per_s.cmp(&b.out_bits_per_s),
                "buffer" => a.buffer_ms.cmp(&b.buffer_ms),
                "uptime" => a.uptime_s.cmp(&b.uptime_s),
                "source" => a.source.cmp(&b.source),
                _ => a.clients.cmp(&b.clients),
            };
            list.directed(order).then(a.id.cmp(&b.id))
        });
        rows
    }

    #[must_use]
    pub fn shown_clients(&self) -> Vec<&ClientRow> {
        let list = &self.lists[View::Clients.index()];
        let filter = Filter::new(&list.filter);
        let only = self.only_stream.as_ref().map(|(id, _)| *id);
        let (sort, _) = columns::sorted(View::Clients, list.sort);
        let mut rows: Vec<&ClientRow> = self
            .clients
            .iter()
            .filter(|c| only.is_none_or(|id| c.stream == Some(id)))
            .filter(|c| {
                filter.passes(&[("user", &c.name), ("ip", &c.ip), ("agent", &c.agent), ("channel", &c.channel_name)])
            })
            .collect();
        rows.sort_by(|a, b| {
            let order = match sort {
                "ip" => a.ip.cmp(&b.ip),
                "agent" => a.agent.cmp(&b.agent),
                "channel" => a.channel_name.cmp(&b.channel_name),
                "out" => a.out_bits_per_s.cmp(&b.out_bits_per_s),
                "lag" => a.lag_ms.cmp(&b.lag_ms),
                "since" => a.since_s.cmp(&b.since_s),
                _ => a.name.cmp(&b.name),
            };
            list.directed(order).then(a.id.cmp(&b.id))
        });
        rows
    }

    #[must_use]
    pub fn shown_logs(&self) -> Vec<&LogRecord> {
        let filter = Filter::new(&self.lists[View::Logs.index()].filter);
        self.logs
            .iter()
            .filter(|r| crate::cli::severity(&r.level) <= self.level)
            .filter(|r| {
                let mut fields = vec![("message", r.message.as_str()), ("target", &r.target), ("level", &r.level)];
                fields.extend(r.fields.iter().map(|(k, v)| (k.as_str(), v.as_str())));
                filter.passes(&fields)
            })
            .collect()
    }

    #[must_use]
    pub fn shown_settings(&self) -> Vec<&Setting> {
        let filter = Filter::new(&self.lists[View::Settings.index()].filter);
        let passes = |s: &&Setting| filter.passes(&[("key", s.key.as_str()), ("help", &s.help), ("origin", &s.origin)]);
        self.settings.iter().filter(passes).collect()
    }

    /// Rows of the current view, on all pages.
    #[must_use]
    pub fn count(&self) -> usize {
        match self.view {
            View::Streams => self.shown_streams().len(),
            View::Clients => self.shown_clients().len(),
            View::Channels => self.channels.total,
            View::Categories => self.categories.total,
            View::Users => self.users.total,
            View::Sources => self.sources.total,
            View::Guide => self.guide_rows.total,
            View::Logs => self.shown_logs().len(),
            View::Settings => self.shown_settings().len(),
        }
    }

    /// Rows of the current view without a filter.
    #[must_use]
    pub fn total(&self) -> usize {
        match self.view {
            View::Streams => self.streams.len(),
            View::Clients => self.clients.len(),
            View::Logs => self.logs.len(),
            View::Settings => self.settings.len(),
            view => self.totals[view.index()].max(self.count()),
        }
    }

    fn at(&self, view: View) -> usize {
        self.lists[view.index()].selected
    }

    #[must_use]
    pub fn selected_stream(&self) -> Option<&StreamRow> {
        self.shown_streams().get(self.at(View::Streams)).copied()
    }

    #[must_use]
    pub fn selected_client(&self) -> Option<&ClientRow> {
        self.shown_clients().get(self.at(View::Clients)).copied()
    }

    #[must_use]
    pub fn selected_channel(&self) -> Option<&Channel> {
        self.selected_channel_row().map(|row| &row.channel)
    }

    #[must_use]
    pub fn selected_channel_row(&self) -> Option<&ChannelRow> {
        self.channels.at(self.at(View::Channels))
    }

    #[must_use]
    pub fn selected_category(&self) -> Option<&Category> {
        self.categories.at(self.at(View::Categories))
    }

    #[must_use]
    pub fn selected_user(&self) -> Option<&User> {
        self.users.at(self.at(View::Users))
    }

    #[must_use]
    pub fn selected_source(&self) -> Option<&Source> {
        self.sources.at(self.at(View::Sources))
    }

    #[must_use]
    pub fn selected_guide(&self) -> Option<&GuideChannel> {
        self.guide_rows.at(self.at(View::Guide))
    }

    #[must_use]
    pub fn selected_setting(&self) -> Option<&Setting> {
        self.shown_settings().get(self.at(View::Settings)).copied()
    }

    #[must_use]
    pub fn selected_log(&self) -> Option<&LogRecord> {
        self.shown_logs().get(self.at(View::Logs)).copied()
    }

    /// The id of a row of the current view, as far as it is here.
    #[must_use]
    pub fn id_at(&self, index: usize) -> Option<u64> {
        match self.view {
            View::Streams => self.shown_streams().get(index).map(|s| s.id),
            View::Clients => self.shown_clients().get(index).map(|c| c.id.0),
            View::Channels => self.channels.at(index).map(|c| c.channel.id.0.into()),
            View::Categories => self.categories.at(index).map(|c| c.id.0.into()),
            View::Users => self.users.at(index).map(|u| u.id.0.into()),
            View::Sources => self.sources.at(index).map(|s| s.id.0.into()),
            View::Guide => self.guide_rows.at(index).map(|g| g.id.0.into()),
            View::Logs | View::Settings => None,
        }
    }

    #[must_use]
    pub fn is_marked(&self, view: View, id: u64) -> bool {
        self.all_marked[view.index()] || self.lists[view.index()].marks.contains(&id)
    }

    /// How many rows of the current view are marked.
    #[must_use]
    pub fn marked(&self) -> usize {
        if self.all_marked[self.view.index()] { self.count() } else { self.list().marks.len() }
    }

    /// What the daemon is asked for a view: the filter, and the category that it is narrowed to.
    #[must_use]
    pub fn query(&self, view: View) -> String {
        let filter = &self.lists[view.index()].filter;
        match &self.only_category {
            Some(name) if view == View::Channels => {
                format!("{} {filter}", exact("category", name)).trim_end().to_owned()
            }
            _ => filter.clone(),
        }
    }

    /// Whether the rows of the current view are those that its filter and order ask for: what a key is meant for is on the screen.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        fn of<T>(model: &Model, paged: &Paged<T>) -> bool {
            paged.is_of(&model.query(model.view), &pages::order(model, model.view))
        }
        match self.view {
            View::Channels => of(self, &self.channels),
            View::Categories => of(self, &self.categories),
            View::Users => of(self, &self.users),
            View::Sources => of(self, &self.sources),
            View::Guide => of(self, &self.guide_rows),
            View::Streams | View::Clients | View::Logs | View::Settings => true,
        }
    }

    /// Place of the row that an action on marked rows is about: the first marked one that is here, else the selected one.
    #[must_use]
    pub fn meant(&self) -> Option<usize> {
        let list = self.list();
        if self.all_marked[self.view.index()] || list.marks.is_empty() {
            return Some(list.selected);
        }
        let from = match self.view {
            View::Channels => self.channels.offset,
            View::Categories => self.categories.offset,
            View::Users => self.users.offset,
            View::Sources => self.sources.offset,
            View::Guide => self.guide_rows.offset,
            View::Streams | View::Clients | View::Logs | View::Settings => 0,
        };
        (from..self.count())
            .map_while(|at| Some((at, self.id_at(at)?)))
            .find_map(|(at, id)| list.marks.contains(&id).then_some(at))
    }

    /// The category that Channels is narrowed to. Marks belong to what is seen.
    pub fn narrow_to(&mut self, category: Option<String>) {
        if self.only_category != category {
            self.lists[View::Channels.index()].unmark();
            self.all_marked[View::Channels.index()] = false;
        }
        self.tree_at =
            category.as_ref().and_then(|name| self.tree.iter().position(|c| c.name == *name)).map_or(0, |at| at + 1);
        self.only_category = category;
    }

    /// The stream that Clients is narrowed to.
    pub fn narrow_to_stream(&mut self, stream: Option<(u64, String)>) {
        if self.only_stream != stream {
            self.lists[View::Clients.index()].unmark();
        }
        self.only_stream = stream;
    }

    /// The marked rows, else the selected one.
    #[must_use]
    pub fn target(&self) -> Option<Target> {
        if self.all_marked[self.view.index()] {
            return Some(Target::Query(self.query(self.view)));
        }
        let marks = &self.list().marks;
        if marks.is_empty() {
            return self.id_at(self.list().selected).map(|id| Target::Ids(vec![id]));
        }
        Some(Target::Ids(marks.iter().copied().collect()))
    }
}
