//! `panel_api.php`: account, server, categories and all channels in one object, as the panels before `player_api.php` did.
//!
//! Must not enter: JSON types. Invariant: the same rows as `player_api.php` gives, so that the two never disagree.

use super::{
    Ask, Pieces, Row,
    live::{self, Lineup},
    login, rows, wire,
};

pub fn everything(ask: &Ask<'_>) -> Pieces {
    let mut head = login(ask);
    // The login object stays open for more.
    head.pop();
    head.extend_from_slice(br#","categories":{"movie":[],"live":["#);
    for (n, id) in live::filled(ask).into_iter().enumerate() {
        if n > 0 {
            head.push(b',');
        }
        live::category(ask.catalog, id, &mut head);
    }
    head.extend_from_slice(br#"],"series":[]},"available_channels":{"#);
    let (mut lineup, base) = (Lineup::new(ask), ask.base.to_string());
    rows(head, "}}", move |out| {
        let Some((index, channel)) = lineup.next() else { return Row::Missing };
        let catalog = &lineup.catalog;
        let (logo, output_id) = (catalog.logo(&channel, &base), catalog.output_id_at(index, &channel));
        let archive_days = catalog.archive_days(&channel);
        let row = wire::LiveRow { channel: &channel, output_id: &output_id, logo: &logo, archive_days };
        out.extend_from_slice(format!("\"{}\":", channel.id).as_bytes());
        row.put_panel(catalog.category_name(&channel), out);
        Row::of(&channel)
    })
}
