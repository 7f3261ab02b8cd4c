# The plan's requests, in the order of their numbers, as rendered bytes or as templates.


@final
cdef class RequestTable:
    """The plan's requests; the plan's request number i is request order[i % len(order)]."""

    cdef:
        Message *messages
        Template **templates        # by request; NULL: it is the same each time
        uint32_t count
        uint16_t *order
        uint32_t order_count
        list texts                  # what `messages` and `templates` point into
        TemplateRenderer renderer

    def __cinit__(self, config, bint http2, uint64_t seed):
        """Take a RequestConfig. Raises ValueError and MemoryError."""
        cdef uint32_t index
        messages, order = list(config.messages), config.order
        if not messages or not all(data for data, *_ in messages):
            raise ValueError("an engine needs a request")
        if not order or not all(0 <= each < len(messages) < 0x10000 for each in order):
            raise ValueError("the order names requests by their index")
        self.messages = <Message *> calloc(len(messages), sizeof(Message))
        self.templates = <Template **> calloc(len(messages), sizeof(Template *))
        self.order = <uint16_t *> calloc(len(order), sizeof(uint16_t))
        if self.messages == NULL or self.templates == NULL or self.order == NULL:
            raise MemoryError
        self.count = len(messages)
        self.order_count = len(order)
        for index in range(self.order_count):
            self.order[index] = order[index]
        self.renderer = TemplateRenderer(list(config.columns), seed)
        self.texts = [data for data, *_ in messages]
        for index, (data, head, *more) in enumerate(messages):
            self.add(index, data, head, http2)
            self.messages[index].idempotent = bool(more and more[0])

    cdef add(self, uint32_t index, data, bint head, bint http2):
        """Take a message's bytes, or its template."""
        cdef Message *message = &self.messages[index]
        message.id = index
        message.head = head
        if isinstance(data, list):
            message.data = <const uint8_t *> <const char *> b""
            self.templates[index] = template_new(data, head, self.renderer.column_count)
            self.templates[index].expects_continue = not http2 and template_expects_continue(data)
            message.closes = not http2 and head_closes(b"".join(template_head_texts(data)))
        else:
            message_set(message, data, http2)

    def __dealloc__(self):
        cdef uint32_t index
        if self.templates != NULL:
            for index in range(self.count):
                template_free(self.templates[index])
        free(self.templates)
        free(self.messages)
        free(self.order)

    cdef inline uint32_t request_at(self, uint64_t number) noexcept nogil:
        """Which request the plan's request number `number` is."""
        return self.order[number % self.order_count]

    cdef inline const Message *message_for(self, uint32_t request, uint64_t number, RenderedMessage *own) noexcept nogil:
        """The message to send, rendered into `own` if the request has a template."""
        if self.templates[request] == NULL or not self.renderer.render(
                self.templates[request], &self.messages[request], number, own):
            return &self.messages[request]
        return &own.message
