//! The answer that a request becomes a stream of topics.

use super::{invalid_topic::InvalidTopic, selection::Selection, topic::Topic};
use crate::connect::{Accept, Refusal};

impl Accept {
    /// Subscribes the stream to these topics: for [`Hub::handler`](super::Hub::handler).
    ///
    /// ```
    /// # use tower_sse::{Accept, Connect, Refusal, hub::Selection};
    /// // As the client wrote them: `?orders&news`.
    /// # async fn on_connect(connect: Connect) -> Result<Accept<Selection>, Refusal> {
    /// let query = connect.uri().query().unwrap_or_default().to_owned();
    /// connect.accept().topics(query.split('&'))
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns a [`Refusal`], a 400, if one of them is no topic, there is none, or there are too many.
    pub fn topics<I>(self, topics: I) -> Result<Accept<Selection>, Refusal>
    where
        I: IntoIterator,
        I::Item: TryInto<Topic>,
        <I::Item as TryInto<Topic>>::Error: Into<InvalidTopic>,
    {
        let topics = Selection::new(topics).and_then(|topics| {
            if topics.is_empty() { Err(InvalidTopic::NONE) } else { Ok(topics) }
        });
        topics.map(|topics| self.subscribe(topics)).map_err(Refusal::bad_request)
    }

    /// Subscribes the stream to these topics and patterns: for
    /// [`Hub::handler`](super::Hub::handler).
    pub fn subscribe(self, topics: Selection) -> Accept<Selection> {
        self.with_target(topics)
    }
}
